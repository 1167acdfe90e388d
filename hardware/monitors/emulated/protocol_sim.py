"""Handler of ``sim://`` for pyserial: a port whose other end is an emulated device.

The port has a clock of its own that jumps to the next event instead of waiting, so a time-out costs nothing. The module
name is the one pyserial looks for.
"""

from __future__ import annotations

from typing import Any

import serial

from knightshift.hardware.monitors.emulated.plugs import line_for

_FAILED_OPEN = 0.1
"""What a failed attempt to open costs on the clock of the line [s]: else a pulled cable would never come back."""


class Serial(serial.SerialBase):  # type: ignore[misc]  # pyserial is untyped
    """A serial port in name only."""

    def open(self) -> None:
        """Find the device, or start one."""
        self._line = line_for(self.port)
        if not self._line.is_plugged(self.monotonic()):
            self.sleep(_FAILED_OPEN)
            raise serial.SerialException(f"could not open port {self.port!r}: No such file (emulated: unplugged)")
        self.is_open = True
        self._update_rts_state()
        self._update_dtr_state()
        self.reset_input_buffer()

    def close(self) -> None:
        """Leave the device alone."""
        self.is_open = False

    def monotonic(self) -> float:
        """Time on the clock of the line [s]."""
        return self._line.own_time

    def sleep(self, duration: float) -> None:
        """Let `duration` [s] pass at once."""
        self._line.own_time += max(0.0, duration)

    @property
    def in_waiting(self) -> int:
        """Bytes that have arrived."""
        self._require_open()
        return self._line.arrived(self.monotonic())

    def read(self, size: int = 1) -> bytes:
        """Read up to `size` bytes, or what has come when the time-out is over."""
        self._require_open()
        deadline = self.monotonic() + (self.timeout or 0.0)
        received = self._line.take(size, self.monotonic())
        while len(received) < size:
            arrival = self._line.next_arrival()
            if arrival is None or arrival > deadline:
                self.sleep(deadline - self.monotonic())
                break
            self.sleep(arrival - self.monotonic())
            received += self._line.take(size - len(received), self.monotonic())
        return received

    def write(self, data: bytes) -> int:
        """Send `data` to the device."""
        self._require_open()
        self.sleep(len(data) * 10 / self.baudrate)
        self._line.send(bytes(data), self.monotonic())
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def reset_input_buffer(self) -> None:
        """Throw away what has arrived."""
        self._line.forget_input(self.monotonic())

    def reset_output_buffer(self) -> None:
        """Nothing is kept back."""

    @property
    def cts(self) -> bool:
        """Level of CTS."""
        self._require_open()
        return self._line.device.sense("cts")

    @property
    def dsr(self) -> bool:
        """Level of DSR."""
        self._require_open()
        return self._line.device.sense("dsr")

    def _require_open(self) -> None:
        if not self.is_open:
            raise serial.PortNotOpenError
        self._line.require_plugged(self.monotonic())

    def _reconfigure_port(self, *_: Any) -> None:
        """Baud rate and parity mean nothing here."""

    def _update_rts_state(self) -> None:
        self._line.device.drive("rts", bool(self._rts_state), self.monotonic())

    def _update_dtr_state(self) -> None:
        self._line.device.drive("dtr", bool(self._dtr_state), self.monotonic())
