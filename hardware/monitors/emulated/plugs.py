"""Which emulated device is behind which ``sim://`` URL.

``sim://oxford_ilm`` starts a device of that kind on first use; ``sim://oxford_ilm/second?seed=7&mute=0.02`` another
one, with faults. A test plugs in a line of its own under any URL. `line_for` gives the line, and so the device, whose
levels and temperatures may then be changed: that is how a scripted night takes a monitor out of its band.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import serial

from knightshift.hardware.monitors.emulated import devices
from knightshift.hardware.monitors.emulated.faults import FaultKind, SeededFaults
from knightshift.hardware.monitors.emulated.line import EmulatedLine

KINDS: dict[str, Callable[[], devices.EmulatedDevice]] = {
    "oxford_ilm": devices.EmulatedIlm,
    "eurotherm_bisynch": devices.EmulatedEurotherm,
    "modbus_temperature": devices.EmulatedModbus,
    "julabo_chiller": devices.EmulatedJulabo,
    "ttl_trigger": devices.EmulatedPotentiostat,
}
"""Kind of device → what emulates it."""

_lines: dict[str, EmulatedLine] = {}


def plug_in(url: str, line: EmulatedLine) -> None:
    """Put `line` behind `url`."""
    _lines[url] = line


def unplug_all() -> None:
    """Forget every emulated device."""
    _lines.clear()


def line_for(url: str) -> EmulatedLine:
    """Find the line behind a ``sim://`` URL; the first time, start the device that it names.

    Raises
    ------
    serial.SerialException
        If the URL names no kind of device, or a fault that does not exist: what pyserial raises for a port that is not
        there.
    """
    if url not in _lines:
        parts = urlsplit(url)
        if parts.netloc not in KINDS:
            raise serial.SerialException(f"{url}: no emulated device {parts.netloc!r}, only {', '.join(KINDS)}")
        _lines[url] = EmulatedLine(KINDS[parts.netloc](), _faults(url, dict(parse_qsl(parts.query))))
    return _lines[url]


def _faults(url: str, query: dict[str, str]) -> SeededFaults:
    try:
        seed = int(query.pop("seed", "0"))
        return SeededFaults(seed, {FaultKind(name): float(rate) for name, rate in query.items()})
    except ValueError as error:
        raise serial.SerialException(f"{url}: {error}: write e.g. sim://oxford_ilm?seed=7&mute=0.02") from error
