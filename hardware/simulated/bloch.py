"""Play a timeline on isochromats: the Bloch equations, pulse by pulse.

Exact are free precession (moments, offset, T1, T2) and constant pulses; relaxation during a pulse is taken half before
and half after it (second order in pulse length over T2). Left out: eddy currents, concomitant (Maxwell) gradients,
diffusion, radiation damping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.hardware.simulated.rotations import Rotation, rotation_of, step_spinor, then
from knightshift.hardware.simulated.timeline import Pulse, Step, Timeline, Window

Response = Callable[[RealArray, float], RealArray]
"""Amplitude response of the receiver: (frequency from its centre [Hz], bandwidth [Hz]) → factor."""


_KeyT = TypeVar("_KeyT")
_ValueT = TypeVar("_ValueT")

_BATCH = 256
_REMEMBERED = 32
_REMEMBERED = 32


@dataclass(frozen=True)
class Ensemble:
    """Isochromats of one compartment: sites in the (z, y) plane, each with the same sub-spins along x and frequency."""

    y: RealArray
    """Position of each site, shape ``(site,)`` [m]."""
    z: RealArray
    """Position of each site, shape ``(site,)`` [m]."""
    offset: RealArray
    """Resonance minus working frequency, shape ``(site,)`` [Hz]."""
    r1: RealArray
    """1/T1, shape ``(site,)`` [1/s]."""
    r2: RealArray
    """1/T2, shape ``(site,)`` [1/s]."""
    transmit: ComplexArray
    """B1 at the site over the nominal one, shape ``(site,)``."""
    receive: ComplexArray
    """Weight of the site in the signal: density, volume, reception; shape ``(site,)``."""
    x: RealArray
    """Positions of the sub-spins, shape ``(x,)`` [m]."""
    detuning: RealArray
    """Frequencies of the sub-spins of each site (T2'), shape ``(frequency, site)`` [Hz]."""
    share: RealArray
    """Part of the spins of a site that has each frequency, shape ``(frequency,)``; adds up to 1."""

    def part(self, sites: slice) -> Ensemble:
        """Give the ensemble of some of the sites."""
        return replace(
            self,
            detuning=self.detuning[:, sites],
            **{name: getattr(self, name)[sites] for name in ("y", "z", "offset", "r1", "r2", "transmit", "receive")},
        )


def play(timeline: Timeline, ensemble: Ensemble, response: Response) -> ComplexArray:
    """Signal of one ensemble, without receiver phase, shape ``(readout, sample)``; starts in thermal equilibrium.

    A window shorter than the longest one is filled up with 0.

    The sub-spins along x are summed before the samples are formed wherever no x gradient is on during the window, so
    the cost is linear in isochromats times pulses plus sites times samples.
    """
    player = _Player(timeline, ensemble, response)
    for step in timeline.steps:
        player.advance(step)
    return player.finish()


class _Player:
    """State of one ensemble while the timeline plays.

    Magnetisation is held as three real planes of shape ``(x, frequency * site)`` in single precision (rounding adds up
    to 1e-6 of the signal over a pass); everything that is the same for all spins along x is worked out in double.
    """

    def __init__(self, timeline: Timeline, ensemble: Ensemble, response: Response) -> None:
        self._timeline, self._spins, self._response = timeline, ensemble, response
        shape, n_frequencies = (ensemble.x.size, ensemble.detuning.size), ensemble.detuning.shape[0]
        self._planes = [np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32)]
        self._spare = [np.empty(shape, np.float32) for _ in range(3)]
        self._y, self._z = np.tile(ensemble.y, n_frequencies), np.tile(ensemble.z, n_frequencies)
        self._rate = (2j * np.pi * (ensemble.offset + ensemble.detuning)).ravel()
        self._r1, self._r2 = np.tile(ensemble.r1, n_frequencies), np.tile(ensemble.r2, n_frequencies)
        self._weight = np.multiply.outer(ensemble.share, ensemble.receive).ravel() / ensemble.x.size
        self._rotations: dict[int, Rotation] = {}
        self._evolutions: dict[tuple[float, float], ComplexArray] = {}
        self._recoveries: dict[tuple[int, float, float], tuple[RealArray, ...]] = {}
        self._phasors: dict[int, ComplexArray] = {}
        self._waiting: dict[int, list[tuple[int, ComplexArray]]] = {}
        self._time = self._relaxing = 0.0
        self._moment = np.zeros(3)
        self._signal: ComplexArray = np.zeros((timeline.counters.size, timeline.n_samples), dtype=complex)
        self._readout = 0

    def advance(self, step: Step) -> None:
        self._time += step.duration
        self._relaxing += step.duration
        self._moment += step.moment
        self._turn_along_x()
        if step.pulse >= 0:
            self._rotate(step)
        else:
            self._receive(step)

    def finish(self) -> ComplexArray:
        for index in self._waiting:
            self._form_samples(index)
        return self._signal

    def _turn_along_x(self) -> None:
        """Take the moment of the x gradient into the planes."""
        if self._moment[0] == 0:
            return
        angle = 2 * np.pi * self._moment[0] * self._spins.x[:, None]
        cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        (mx, my, mz), (new_x, new_y, product) = self._planes, self._spare
        np.multiply(mx, cosine, out=new_x)
        new_x -= np.multiply(my, sine, out=product)
        np.multiply(mx, sine, out=new_y)
        new_y += np.multiply(my, cosine, out=product)
        self._planes, self._spare = [new_x, new_y, mz], [mx, my, product]
        self._moment[0] = 0.0

    def _rotate(self, step: Step) -> None:
        """Precess, relax and play the pulse: one affine map of the magnetisation."""
        half = self._timeline.pulses[step.pulse].duration / 2
        self._relaxing += half
        xx, xy, yx, yy, zx, zy = self._precession_terms(step)
        xz, x0, yz, y0, zz, z0 = self._recovery_terms(step)
        (mx, my, mz), (new_x, new_y, product) = self._planes, self._spare
        np.multiply(mx, xx, out=new_x)
        new_x += np.multiply(my, xy, out=product)
        new_x += np.multiply(mz, xz, out=product)
        new_x += x0
        np.multiply(mx, yx, out=new_y)
        new_y += np.multiply(my, yy, out=product)
        new_y += np.multiply(mz, yz, out=product)
        new_y += y0
        mz *= zz
        mz += np.multiply(mx, zx, out=product)
        mz += np.multiply(my, zy, out=product)
        mz += z0
        self._planes, self._spare = [new_x, new_y, mz], [mx, my, product]
        self._time, self._relaxing = 0.0, half
        self._moment = np.zeros(3)

    def _rotation(self, index: int) -> Rotation:
        if index not in self._rotations:
            self._rotations[index] = pulse_rotation(self._timeline.pulses[index], self._spins)
        return self._rotations[index]

    def _precession_terms(self, step: Step) -> tuple[RealArray, ...]:
        """Give what Mx and My before the precession contribute to Mx, My and Mz after the pulse."""
        rotation, turn, before = self._rotation(step.pulse), np.exp(1j * step.phase), self._evolution()
        keep, flip = rotation.keep * before, rotation.flip * (turn**2 * before.conj())
        lift = rotation.lift * (before / turn)
        total, difference = keep + flip, keep - flip
        parts = (total.real, -difference.imag, total.imag, difference.real, lift.real, -lift.imag)
        return tuple(part.astype(np.float32) for part in parts)

    def _recovery_terms(self, step: Step) -> tuple[RealArray, ...]:
        """Give what Mz and its recovery contribute to Mx, My and Mz after the pulse."""
        key = (step.pulse, step.phase, self._relaxing)
        if key not in self._recoveries:
            _make_room(self._recoveries)
            rotation, left = self._rotation(step.pulse), np.exp(-self._r1 * self._relaxing)
            tip = rotation.tip * np.exp(1j * step.phase)
            terms = [part * share for part in (tip.real, tip.imag, rotation.stay) for share in (left, 1 - left)]
            self._recoveries[key] = tuple(term.astype(np.float32) for term in terms)
        return self._recoveries[key]

    def _evolution(self) -> ComplexArray:
        """Precession and decay since the last pulse, except along x; shape ``(frequency * site,)``."""
        key = (self._time, self._relaxing)
        if key not in self._evolutions:
            _make_room(self._evolutions)
            self._evolutions[key] = np.exp(self._rate * self._time - self._r2 * self._relaxing)
        _, ky, kz = self._moment
        if ky == 0 and kz == 0:
            return self._evolutions[key]
        evolution: ComplexArray = self._evolutions[key] * np.exp(2j * np.pi * (ky * self._y + kz * self._z))
        return evolution

    def _receive(self, step: Step) -> None:
        """Note the magnetisation at the start of a window; samples are formed for many readouts at once."""
        mx, my, _ = self._planes
        noted: ComplexArray = np.empty((1, self._rate.size), complex)
        if moves_along_x(self._timeline.windows[step.window]):
            noted = mx + 1j * my
        else:
            noted.real, noted.imag = mx.sum(axis=0), my.sum(axis=0)
        noted = noted * (self._evolution() * self._weight)
        waiting = self._waiting.setdefault(step.window, [])
        waiting.append((self._readout, noted.ravel().astype(np.complex64)))
        self._readout += 1
        if len(waiting) == _BATCH:
            self._form_samples(step.window)

    def _form_samples(self, index: int) -> None:
        waiting = self._waiting[index]
        if not waiting:
            return
        if index not in self._phasors:
            self._phasors[index] = window_phasors(self._timeline.windows[index], self._spins, self._response)
        rows = [row for row, _ in waiting]
        samples = np.stack([noted for _, noted in waiting]) @ self._phasors[index]
        self._signal[rows, : samples.shape[1]] = samples
        waiting.clear()


def _make_room(remembered: dict[_KeyT, _ValueT]) -> None:
    """Bound what is remembered: sequences repeat few delays, but some sweep many."""
    if len(remembered) >= _REMEMBERED:
        remembered.clear()


def moves_along_x(window: Window) -> bool:
    """Whether the x gradient is on during the window."""
    return bool(np.abs(window.moments[:, 0]).max() > 1e-9)


def pulse_rotation(pulse: Pulse, spins: Ensemble) -> Rotation:
    """Rotation by one pulse of phase 0 at every spin, shape ``(1, frequency * site)``, or with all of x.

    Worked out in the frame of the pulse's own frequency, in which every step is a constant field.
    """
    spinor: tuple[ComplexArray, ComplexArray] = (np.ones(1, dtype=complex), np.zeros(1, dtype=complex))
    fixed = spins.offset + spins.detuning - pulse.frequency
    for nutation, duration, gradient in zip(pulse.envelope, pulse.steps, pulse.gradients, strict=True):
        gx, gy, gz = gradient
        offset = fixed + gy * spins.y + gz * spins.z
        if np.any(pulse.gradients[:, 0]):
            offset = offset + gx * spins.x[:, None, None]
        spinor = then(spinor, step_spinor(nutation * spins.transmit, offset, float(duration)))
    half_turn = np.exp(1j * np.pi * pulse.frequency * pulse.duration)
    rotation = rotation_of((spinor[0] / half_turn, spinor[1] * half_turn))
    return rotation.reshaped((-1, spins.detuning.size))


def window_phasors(window: Window, spins: Ensemble, response: Response) -> ComplexArray:
    """Work out what one unit of magnetisation at the start of `window` gives in each sample.

    The receiver filter acts as its steady-state response at the frequency that the spin has at that sample.

    Returns
    -------
    ComplexArray
        Shape ``(x * frequency * site, sample)``, or ``(frequency * site, sample)`` where no x gradient is on.
    """
    times = window.times
    mean = window.gradients.mean(axis=0)
    if np.abs(window.gradients - mean).max() <= 1e-6 * np.abs(mean).max():
        local = _local_frequency(window, spins, mean)
        heard = response(local - window.frequency, 1 / window.dwell_time)
        return _powers((2j * np.pi * local - spins.r2).ravel(), times, heard.ravel()).astype(np.complex64)
    turns = np.stack(
        [_local_frequency(window, spins, moment, time) for moment, time in zip(window.moments, times, strict=True)], -1
    )
    local = np.stack([_local_frequency(window, spins, gradient) for gradient in window.gradients], -1)
    heard = response(local - window.frequency, 1 / window.dwell_time)
    general: ComplexArray = heard * np.exp(2j * np.pi * turns - np.multiply.outer(spins.r2, times))
    return general.reshape(-1, times.size).astype(np.complex64)


def _local_frequency(window: Window, spins: Ensemble, gradient: RealArray, time: float = 1.0) -> RealArray:
    """Frequency under `gradient` [Hz/m], or turns after `time` [s] if it is a moment [1/m].

    Shape ``(x, frequency, site)``, or ``(frequency, site)`` where no x gradient is on during the window.
    """
    local: RealArray = (spins.offset + spins.detuning) * time + gradient[1] * spins.y + gradient[2] * spins.z
    return local + gradient[0] * spins.x[:, None, None] if moves_along_x(window) else local


def _powers(rate: ComplexArray, times: RealArray, factor: RealArray) -> ComplexArray:
    """Tabulate ``factor * exp(rate * time)`` for equidistant times, shape ``(rate, time)``.

    Coarse steps times fine ones: few exponentials and one multiplication for each value.
    """
    n_fine = int(np.ceil(np.sqrt(times.size)))
    coarse = factor[:, None] * np.exp(np.multiply.outer(rate, times[::n_fine]))
    fine = np.exp(np.multiply.outer(rate, times[:n_fine] - times[0]))
    table: ComplexArray = (coarse[:, :, None] * fine[:, None, :]).reshape(rate.size, -1)
    return table[:, : times.size]
