"""What each end of a link is told, and where the scanner is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, SkipValidation

from knightshift.core.clock import Clock
from knightshift.core.tokens import read_token
from knightshift.hardware.link_timing import LinkTiming

TOKEN_VARIABLE = "KNIGHTSHIFT_SCANNER_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable that holds the token of a link, if no file does."""


class LinkEndSettings(BaseModel):
    """What either end of a link needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baud_rate: PositiveInt = 115_200
    """Of a real serial line [baud]; a pseudo-terminal or TCP does not care."""
    token_file: Path | None = None
    """File whose first line is the token that both ends share; without one the environment variable
    ``KNIGHTSHIFT_SCANNER_TOKEN`` counts. Needed for TCP."""
    timing: LinkTiming = LinkTiming()
    """Patience."""

    def token(self) -> bytes | None:
        """Read the token; None if there is none.

        Raises
        ------
        ConfigError
            If the file cannot be read, or the token is too short to be one.
        """
        return read_token(self.token_file, TOKEN_VARIABLE)


class RemoteSettings(LinkEndSettings):
    """Settings of the backend ``remote`` (``settings:`` of a site file)."""

    url: str = Field(min_length=1, max_length=500)
    """Where the scanner is served: ``tcp://host:port``, a serial port or pseudo-terminal (``/dev/ttyUSB0``), or any
    other URL of pyserial."""
    window: PositiveInt = Field(default=32, le=60)
    """Readouts, and parts of readouts, that may be on their way: 1 or 2 for a slow serial line."""


class ServeOptions(LinkEndSettings):
    """How a scanner is served."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    clock: Annotated[Clock | None, SkipValidation] = None
    """The clock that the served scanner uses; only a `VirtualClock` matters: the client's then follows it."""
    any_interface: bool = False
    """Listen beyond the loopback interface. The link is authenticated, not encrypted: prefer a tunnel."""
