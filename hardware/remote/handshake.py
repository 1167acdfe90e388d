"""How two ends come to know each other: nonces, the shared token, the version of the protocol.

HELLO → CHALLENGE → AUTHENTICATE → WELCOME; any of them may be lost and is then sent again. Both sides prove that they
know the token without sending it: HMAC-SHA256 over both nonces, with a word for each direction.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from knightshift.hardware.remote.framing import VERSION
from knightshift.hardware.remote.messages import MalformedMessageError, WireModel, decode_body

ClockKind = Literal["system", "virtual"]

Nonce = Field(pattern="^[0-9a-f]{32}$")
_Proof = Field(pattern="^([0-9a-f]{64})?$")

MessageT = TypeVar("MessageT", bound=WireModel)


class Hello(WireModel):
    """Body of a HELLO."""

    versions: list[int] = Field(default_factory=lambda: [VERSION], max_length=20)
    """Versions of the protocol that the client speaks."""
    software: str = Field(max_length=200)
    """Name and version of the client's software, for the log."""
    client_nonce: str = Nonce
    """16 random bytes (hex), new for each attempt to connect."""
    clock: ClockKind
    """Whether the client's clock is virtual."""


class Challenge(WireModel):
    """Body of a CHALLENGE."""

    client_nonce: str = Nonce
    """The client's nonce, again."""
    server_nonce: str = Nonce
    """16 random bytes (hex), new for each client nonce."""
    token_needed: bool
    """Whether a proof is asked for."""


class Authenticate(WireModel):
    """Body of an AUTHENTICATE."""

    client_nonce: str = Nonce
    server_nonce: str = Nonce
    proof: str = _Proof
    """`proof_of` the client; empty without a token."""


class Welcome(WireModel):
    """Body of a WELCOME."""

    client_nonce: str = Nonce
    proof: str = _Proof
    """`proof_of` the server; empty without a token."""
    software: str = Field(max_length=200)
    """Name and version of the server's software."""
    clock: ClockKind
    """Whether the server's clock is virtual."""
    link_timeout: float = Field(gt=0)
    """Silence after which the server makes the scanner safe [s]."""


class Refused(WireModel):
    """Body of a REFUSED."""

    client_nonce: str = Nonce
    reason: str = Field(max_length=1000)
    """For people."""
    transient: bool
    """Whether it is worth trying again."""


def new_nonce() -> str:
    """16 random bytes (hex)."""
    return secrets.token_hex(16)


def new_session() -> int:
    """Draw a session number from 1 to 2⁶⁴ - 1."""
    return secrets.randbelow(2**64 - 1) + 1


def proof_of(side: Literal["client", "server"], token: bytes | None, client_nonce: str, server_nonce: str) -> str:
    """HMAC-SHA256 (hex) of ``"knightshift <side> <client_nonce> <server_nonce>"`` under the token; else empty."""
    if token is None:
        return ""
    return hmac.new(token, f"knightshift {side} {client_nonce} {server_nonce}".encode(), "sha256").hexdigest()


def is_proof(given: str, expected: str) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(given, expected)


def decode_message(model: type[MessageT], payload: bytes) -> MessageT:
    """Read the payload of a frame of the handshake. Raises `MalformedMessageError`."""
    try:
        return model.model_validate(decode_body(payload).fields)
    except ValidationError as error:
        raise MalformedMessageError(str(error)) from error
