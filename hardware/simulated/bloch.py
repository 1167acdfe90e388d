"""Play a timeline on isochromats: the Bloch equations, pulse by pulse.

Exact are free precession (moments, offset, T1, T2) and constant pulses; relaxation during a pulse is taken half before
and half after it (second order in pulse length over T2). Left out: eddy currents, concomitant (Maxwell) gradients,
diffusion, radiation damping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.hardware.simulated.rotations import Rotation, rotation_of, step_spinor, then
from knightshift.hardware.simulated.timeline import Pulse, Step, Timeline, Window

Response = Callable[[RealArray, float], RealArray]
"""Amplitude response of the receiver: (frequency from its centre [Hz], bandwidth [Hz]) → factor."""

_BATCH = 256


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


def play(timeline: Timeline, ensemble: Ensemble, response: Response) -> ComplexArray:
    """Signal of one ensemble, without receiver phase, shape ``(readout, sample)``; starts in thermal equilibrium.

    The sub-spins along x are summed before the samples are formed wherever no x gradient is on during the window, so
    the cost is linear in isochromats times pulses plus sites times samples.
    """
    player = _Player(timeline, ensemble, response)
    for step in timeline.steps:
        player.advance(step)
    return player.finish()


class _Player:
    """State of one ensemble while the timeline plays. Magnetisation has axes ``(x, frequency, site)``."""

    def __init__(self, timeline: Timeline, ensemble: Ensemble, response: Response) -> None:
        self._timeline, self._spins, self._response = timeline, ensemble, response
        shape = (ensemble.x.size, ensemble.detuning.shape[0], ensemble.y.size)
        self._transverse: ComplexArray = np.zeros(shape, dtype=complex)
        self._longitudinal: RealArray = np.ones(shape)
        self._rotations: dict[int, Rotation] = {}
        self._phasors: dict[int, ComplexArray] = {}
        self._waiting: dict[int, list[tuple[int, ComplexArray]]] = {}
        self._time = self._relaxing = 0.0
        self._moment = np.zeros(3)
        samples = timeline.windows[0].times.size
        self._signal: ComplexArray = np.zeros((timeline.counters.size, samples), dtype=complex)
        self._readout = 0

    def advance(self, step: Step) -> None:
        self._time += step.duration
        self._relaxing += step.duration
        self._moment += step.moment
        if step.pulse >= 0:
            self._rotate(step)
        else:
            self._receive(step)

    def finish(self) -> ComplexArray:
        for index in self._waiting:
            self._form_samples(index)
        return self._signal

    def _rotate(self, step: Step) -> None:
        pulse = self._timeline.pulses[step.pulse]
        self._relaxing += pulse.duration / 2
        self._transverse *= self._site_factor() * self._frequency_factor()
        if self._spins.x.size > 1:
            self._transverse *= self._x_factor()[:, None, None]
        recovery = np.exp(-self._spins.r1 * self._relaxing)
        self._longitudinal *= recovery
        self._longitudinal += 1 - recovery
        if step.pulse not in self._rotations:
            self._rotations[step.pulse] = pulse_rotation(pulse, self._spins)
        rotation = self._rotations[step.pulse].with_phase(step.phase)
        self._transverse, self._longitudinal = rotation.apply(self._transverse, self._longitudinal)
        self._time, self._relaxing = 0.0, pulse.duration / 2
        self._moment = np.zeros(3)

    def _site_factor(self) -> ComplexArray:
        spins = self._spins
        _, ky, kz = self._moment
        turns = ky * spins.y + kz * spins.z + spins.offset * self._time
        factor: ComplexArray = np.exp(2j * np.pi * turns - spins.r2 * self._relaxing)
        return factor

    def _x_factor(self) -> ComplexArray:
        factor: ComplexArray = np.exp(2j * np.pi * self._moment[0] * self._spins.x)
        return factor

    def _frequency_factor(self) -> ComplexArray:
        factor: ComplexArray = np.exp(2j * np.pi * self._time * self._spins.detuning)
        return factor

    def _receive(self, step: Step) -> None:
        """Note the magnetisation at the start of a window; samples are formed for many readouts at once."""
        window = self._timeline.windows[step.window]
        n_x, n_frequency, _ = self._transverse.shape
        across = self._x_factor() / (n_x * n_frequency)
        if moves_along_x(window):
            noted = across[:, None, None] * self._transverse
        else:
            # no BLAS: called from several threads at once, its own threads would fight over the cores
            noted = np.einsum("x,xfs->fs", across, self._transverse)
        noted = noted * (self._frequency_factor() * self._site_factor() * self._spins.receive)
        waiting = self._waiting.setdefault(step.window, [])
        waiting.append((self._readout, noted.ravel()))
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
        self._signal[rows] = np.stack([noted for _, noted in waiting]) @ self._phasors[index]
        waiting.clear()


def moves_along_x(window: Window) -> bool:
    """Whether the x gradient is on during the window."""
    return bool(np.abs(window.moments[:, 0]).max() > 1e-9)


def pulse_rotation(pulse: Pulse, spins: Ensemble) -> Rotation:
    """Rotation by one pulse of phase 0 at every spin, broadcasting against ``(x, frequency, site)``.

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
    return rotation_of((spinor[0] / half_turn, spinor[1] * half_turn))


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
        return _powers((2j * np.pi * local - spins.r2).ravel(), times, heard.ravel())
    turns = np.stack(
        [_local_frequency(window, spins, moment, time) for moment, time in zip(window.moments, times, strict=True)], -1
    )
    local = np.stack([_local_frequency(window, spins, gradient) for gradient in window.gradients], -1)
    heard = response(local - window.frequency, 1 / window.dwell_time)
    general: ComplexArray = heard * np.exp(2j * np.pi * turns - np.multiply.outer(spins.r2, times))
    return general.reshape(-1, times.size)


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
