"""Noise-free signals of whole passes, computed once for each program and frequency and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.program import PassProgram
from knightshift.hardware.pulseq_text import EventTables
from knightshift.hardware.simulated.bloch import Ensemble, play
from knightshift.hardware.simulated.isochromats import Surroundings, cut
from knightshift.hardware.simulated.phantom import Phantom
from knightshift.hardware.simulated.receiver import filter_response
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.simulated.timeline import Timeline, build_timeline

_FREQUENCY_GRID = 1e3
_KEPT = 64
_LIBRARIES_KEPT = 4


@dataclass(frozen=True)
class PassSignal:
    """What one program gives without noise, in mm³ of fully tipped unit density."""

    timeline: Timeline
    """When and in which windows it was received."""
    samples: ComplexArray
    """As the receiver delivers it, shape ``(readout, sample)``."""
    frequency: float
    """Working frequency for which it was computed [Hz]."""

    def at_offset(self, offset: float) -> ComplexArray:
        """Give the same signal with every spin off by `offset` [Hz], as a drift of the field or a retuning makes it.

        The phase is exact for a uniform offset that the pulses do not notice (offset much less than the nutation
        frequency): it grows from the excitation on, is negated by every refocusing pulse and is therefore 0 at the
        centre of a spin echo, while the slope within a window remains. Stimulated pathways get the phase of the echo
        that they fall on.
        """
        if offset == 0.0:
            return self.samples
        times = self.timeline.evolution[:, None] + self.timeline.sample_times
        shifted: ComplexArray = self.samples * np.exp(-2j * np.pi * offset * times)
        return shifted


class SignalLibrary:
    """Noise-free signals of one phantom, by program and frequency.

    Parameters
    ----------
    phantom
        What lies in the magnet.
    b0
        The field it lies in [T].
    settings
        Of the simulated scanner.
    """

    def __init__(self, phantom: Phantom, b0: float, settings: SimulatorSettings) -> None:
        self._phantom, self._b0, self._settings = phantom, b0, settings
        self._kept: OrderedDict[tuple[str, float], PassSignal] = OrderedDict()
        self._lock = threading.Lock()

    def signal(self, program: PassProgram, tables: EventTables, frequency: float) -> PassSignal:
        """Signal of `program` near the working frequency `frequency` [Hz].

        Frequencies within 500 Hz of the program's own share one computation: `PassSignal.at_offset` covers the rest.
        """
        steps = round((frequency - program.working_frequency) / _FREQUENCY_GRID)
        computed_at = program.working_frequency + steps * _FREQUENCY_GRID
        key = (program.digest, computed_at)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._compute(program, tables, computed_at)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _compute(self, program: PassProgram, tables: EventTables, frequency: float) -> PassSignal:
        timeline = build_timeline(tables)
        surroundings = Surroundings(
            program.gyromagnetic_ratio * self._b0, frequency, program.nucleus, self._settings.transmit_scale
        )
        ensembles = cut(self._phantom, timeline, surroundings, self._settings.isochromats)
        raw = sum_of_signals(timeline, ensembles, self._settings)
        return PassSignal(timeline, received(timeline, raw), frequency)


def library_of(phantom: Phantom, b0: float, settings: SimulatorSettings) -> SignalLibrary:
    """Give the library of a phantom; scanners of this process that are equal share one, as those of a resumed run are.

    Where voxels come from files, which may change, each scanner has its own.

    Parameters
    ----------
    phantom, b0, settings
        As for `SignalLibrary`.
    """
    if phantom.voxel_maps:
        return SignalLibrary(phantom, b0, settings)
    key = f"{phantom.model_dump_json()} {b0!r} {settings.model_dump_json()}"
    with _SHARING:
        library = _LIBRARIES.pop(key, None) or SignalLibrary(phantom, b0, settings)
        _LIBRARIES[key] = library
        if len(_LIBRARIES) > _LIBRARIES_KEPT:
            _LIBRARIES.popitem(last=False)
    return library


_LIBRARIES: OrderedDict[str, SignalLibrary] = OrderedDict()
_SHARING = threading.Lock()


def sum_of_signals(timeline: Timeline, ensembles: list[Ensemble], settings: SimulatorSettings) -> ComplexArray:
    """Sum over all isochromats, always in the same order, shape ``(readout, sample)``."""
    response = partial(filter_response, settings=settings.receiver)
    total = np.zeros((timeline.counters.size, timeline.n_samples), dtype=complex)
    with ThreadPoolExecutor(settings.threads) as pool:
        for signal in pool.map(lambda ensemble: play(timeline, ensemble, response), ensembles):
            total += signal
    return total


def received(timeline: Timeline, raw: ComplexArray) -> ComplexArray:
    """Apply phase and frequency of the receiver, and turn to the laboratory's sense.

    For γ > 0 spins precess clockwise seen from +z, so that a positive offset f, or a spin at +r under a positive
    gradient, delivers exp(-2πi f t): ``s(k) = sum rho(r) exp(-2πi k r)``. The inverse Fourier transform of the samples
    puts it at +f, or +r.
    """
    phases = np.array([step.phase for step in timeline.steps if step.window >= 0])
    windows = [timeline.windows[index] for index in timeline.readout_windows]
    turns = np.array([window.frequency for window in windows])[:, None] * timeline.sample_times
    delivered: ComplexArray = (raw * np.exp(-1j * (phases[:, None] + 2 * np.pi * turns))).conj()
    return delivered
