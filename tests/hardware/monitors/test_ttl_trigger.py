"""The trigger rests at idle, always comes back to it, and is read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knightshift.core.errors import LinkFault
from knightshift.hardware.monitors import LinkSettings, Transport
from knightshift.hardware.monitors.emulated import (
    EmulatedIlm,
    EmulatedLine,
    EmulatedPotentiostat,
    PtyServer,
    plug_in,
    unplug_all,
)
from knightshift.hardware.monitors.transport import InputLine, OutputLine
from knightshift.hardware.monitors.ttl_trigger import TtlTrigger, TtlTriggerSettings

URL = "sim://ttl_trigger/test"
WIRED = TtlTriggerSettings(read_back=InputLine.CTS)


@pytest.fixture
def potentiostat() -> Iterator[EmulatedPotentiostat]:
    device = EmulatedPotentiostat()
    plug_in(URL, EmulatedLine(device))
    yield device
    unplug_all()


def _trigger(settings: TtlTriggerSettings = WIRED) -> TtlTrigger:
    return TtlTrigger(Transport(LinkSettings(port=URL), "potentiostat"), settings)


@pytest.mark.parametrize("line", list(OutputLine))
@pytest.mark.parametrize("active_level", [True, False])
@pytest.mark.parametrize("length", [1e-3, 0.02, 1.5])
def test_a_pulse_has_the_stated_length_and_polarity(
    potentiostat: EmulatedPotentiostat, line: OutputLine, active_level: bool, length: float
) -> None:
    back = InputLine.CTS if line is OutputLine.RTS else InputLine.DSR
    with _trigger(TtlTriggerSettings(line=line, active_level=active_level, read_back=back)) as trigger:
        assert not trigger.is_set
        pulse = trigger.pulse(length)
        assert not trigger.is_set
    assert pulse.length == pytest.approx(length, abs=1e-9)
    edges = [(when, level) for when, name, level in potentiostat.edges if name == line.value]
    assert [level for _, level in edges] == [not active_level, active_level, not active_level]
    assert edges[2][0] - edges[1][0] == pytest.approx(length)


def test_opening_and_closing_never_triggers(potentiostat: EmulatedPotentiostat) -> None:
    with _trigger():
        pass
    assert [level for _, name, level in potentiostat.edges if name == "rts"] == [False]


def test_set_and_clear_are_read_back(potentiostat: EmulatedPotentiostat) -> None:
    with _trigger() as trigger:
        trigger.set()
        assert trigger.is_set
        trigger.clear()
        assert not trigger.is_set


def test_a_broken_wire_is_a_fault_and_the_line_goes_back_to_idle(potentiostat: EmulatedPotentiostat) -> None:
    with _trigger() as trigger:
        potentiostat.wire = {}
        with pytest.raises(LinkFault, match="does not follow"):
            trigger.pulse(0.01)
        assert potentiostat.edges[-1][1:] == ("rts", False)


def test_leaving_with_an_error_clears_the_trigger(potentiostat: EmulatedPotentiostat) -> None:
    def fail() -> None:
        with _trigger() as trigger:
            trigger.set()
            raise RuntimeError("the scan failed")

    with pytest.raises(RuntimeError, match="the scan failed"):
        fail()
    assert potentiostat.edges[-1][1:] == ("rts", False)


def test_a_busy_computer_that_makes_the_pulse_too_long_is_told(
    potentiostat: EmulatedPotentiostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _trigger() as trigger:
        sleep = trigger._link.sleep
        monkeypatch.setattr(trigger._link, "sleep", lambda duration: sleep(duration + 0.1))
        with pytest.raises(LinkFault, match=r"the pulse lasted 110\.0 ms, not 10\.0 ms"):
            trigger.pulse(0.01)


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan")])
def test_no_pulse_is_refused(potentiostat: EmulatedPotentiostat, length: float) -> None:
    with _trigger() as trigger, pytest.raises(ValueError, match="is none"):
        trigger.pulse(length)


def test_a_port_without_control_lines_says_so(tmp_path: Path) -> None:
    """A pseudo-terminal has none: so the trigger is tested behind ``sim://`` only."""
    with PtyServer(EmulatedLine(EmulatedIlm()), tmp_path / "tty"):
        link = Transport(LinkSettings(port=str(tmp_path / "tty")), "potentiostat")
        with pytest.raises(LinkFault, match="potentiostat"):
            TtlTrigger(link, TtlTriggerSettings()).open()
        assert not link.is_open
