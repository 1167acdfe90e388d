"""The reference of the wire protocol is true: its test vectors, its tables and its numbers are those of the code."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.commands import AT_ONCE, COMMANDS
from knightshift.hardware.remote.framing import MAX_PAYLOAD, FrameKind, cobs_encode, decode_frame, encode_frame
from knightshift.hardware.remote.handshake import proof_of
from knightshift.hardware.remote.messages import MAX_JSON, MAX_RAW, decode_body, encode_body
from knightshift.hardware.remote.readout_records import decode_demand, decode_part, decode_record
from knightshift.hardware.remote.typed_errors import FAULTS, PLAIN

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "remote-wire-protocol.md").read_text()
VECTORS = {
    fields["name"]: fields
    for block in re.findall(r"```text\n(.*?)```", REFERENCE, re.DOTALL)
    if (fields := dict(line.split(": ", 1) for line in block.strip().splitlines()))
}


def payload_of(name: str) -> bytes:
    frame = decode_frame(bytes.fromhex(VECTORS[name]["hex"])[:-1])
    assert frame is not None
    return frame.payload


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_is_what_it_says(name: str) -> None:
    vector = VECTORS[name]
    wire = bytes.fromhex(vector["hex"])
    frame = decode_frame(wire[:-1])
    assert frame is not None
    assert encode_frame(frame) == wire
    assert (frame.kind, frame.number) == (int(vector["kind"]), int(vector["number"]))
    assert frame.session == int(vector["session"], 16)
    if "json" in vector:
        raw = bytes.fromhex(vector.get("raw", ""))
        assert decode_body(frame.payload).fields == json.loads(vector["json"])
        assert frame.payload == encode_body(json.loads(vector["json"]), raw)
    elif vector["payload"] == "empty":
        assert frame.payload == b""


def test_a_vector_follows_from_the_words_of_the_reference_alone() -> None:
    text = VECTORS["REQUEST start"]["json"].encode()
    body = struct.pack("<BBQI", 1, 6, 0x0102030405060708, 7) + struct.pack("<I", len(text)) + text
    message = body + struct.pack("<I", zlib.crc32(body))
    assert (cobs_encode(message) + b"\0").hex(" ") == VECTORS["REQUEST start"]["hex"]
    assert f"{zlib.crc32(b'123456789'):08x}" in REFERENCE


def test_the_vectors_of_the_handshake_prove_the_token() -> None:
    challenge = json.loads(VECTORS["CHALLENGE"]["json"])
    nonces = (challenge["client_nonce"], challenge["server_nonce"])
    for name, side in (("AUTHENTICATE", "client"), ("WELCOME", "server")):
        assert json.loads(VECTORS[name]["json"])["proof"] == proof_of(side, b"0123456789abcdef", *nonces)


def test_the_vectors_of_the_stream() -> None:
    part = decode_part(payload_of("PART with a readout"))
    assert (part.stream, part.is_last, part.total) == (8, True, len(part.content))
    record = decode_record(part.content)
    assert record.readout is not None
    np.testing.assert_array_equal(record.readout.samples, np.array([[1 + 2j, -0.5j]], np.complex64))
    assert record.readout.counters.tolist() == (1, 0, 2, 0, 0, 4, 0)
    assert record.readout.overrange
    assert record.clock is None
    end = decode_record(decode_part(payload_of("PART with the end of a pass")).content)
    assert (end.readout, end.error, end.clock) == (None, None, 1767639600.25)
    demand = decode_demand(payload_of("DEMAND"))
    assert (demand.stream, demand.wanted, demand.received, demand.clock) == (8, 34, 0b10, None)


def test_every_kind_of_frame_has_a_row_and_a_vector() -> None:
    for kind in FrameKind:
        assert f"| {kind.value} | {kind.name} |" in REFERENCE
    assert {int(vector["kind"]) for vector in VECTORS.values()} == {int(kind) for kind in FrameKind}


def test_every_command_and_every_error_is_listed() -> None:
    table = REFERENCE[REFERENCE.index("| command |") : REFERENCE.index("**Programs.**")]
    listed = {word for row in table.split("\n|")[1:] for word in re.findall(r"`([a-z_]+)`", row.split("|")[0])}
    assert listed == set(COMMANDS)
    errors = REFERENCE[REFERENCE.index("**Errors.**") : REFERENCE.index("## Readouts")]
    assert set(FAULTS) | set(PLAIN) == set(re.findall(r"`([A-Z][A-Za-z]+)`", errors))
    at_once = re.search(r"((?:`\w+`,?\s(?:and )?)+)are carried out at once", REFERENCE)
    assert at_once is not None
    assert set(re.findall(r"`(\w+)`", at_once[1])) == AT_ONCE


def test_bounds_and_default_times_are_those_of_the_code() -> None:
    assert f"at most {MAX_PAYLOAD} bytes" in REFERENCE
    assert f"at most {MAX_JSON} bytes" in REFERENCE
    assert f"(at most {MAX_RAW})" in REFERENCE
    timing = LinkTiming()
    for name, words in (("heartbeat", "0.5 s"), ("link_timeout", "3 s"), ("resend_interval", "0.25 s")):
        assert f"| `{name}` | {words} |" in REFERENCE
        assert float(words.split()[0]) == getattr(timing, name)
    assert timing.command_timeout == 600.0
