"""Read the text of a Pulseq file (1.4 and 1.5) into plain numpy event tables.

A reader of our own beside pypulseq's: a scanner must not hear through the same ears as the program that wrote the
sequence, and it is a hundred times faster, so that parsing never dominates the playing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import ProtocolError
from knightshift.hardware.pulseq_events import AXES, AdcEvent, Block, EventTables, GradientEvent, RfEvent
from knightshift.hardware.pulseq_extensions import BlockExtension, GradientTurner, read_extensions

__all__ = ["AXES", "AdcEvent", "Block", "EventTables", "GradientEvent", "RfEvent", "read_definitions", "read_pulseq"]

_EventT = TypeVar("_EventT")

_DEFAULT_RASTERS = {
    "GradientRasterTime": 10e-6,
    "RadiofrequencyRasterTime": 1e-6,
    "AdcRasterTime": 100e-9,
    "BlockDurationRaster": 10e-6,
}


def read_pulseq(text: str, larmor_frequency: float) -> EventTables:
    """Read the text of a Pulseq file.

    Parameters
    ----------
    text
        The file.
    larmor_frequency
        γB0/2π [Hz], by which offsets in ppm are multiplied.

    Raises
    ------
    ProtocolError
        If it is not Pulseq 1.4 or 1.5, is damaged, or uses an extension that changes what the spins see and that
        is not understood (RF shims).
    """
    sections = _sections(text)
    try:
        return _Reader(sections, larmor_frequency).read()
    except (KeyError, ValueError, IndexError) as error:
        raise ProtocolError(f"the Pulseq file is damaged or incomplete ({error!r}): export it again") from error


def read_definitions(text: str) -> dict[str, str]:
    """Read only the definitions of a Pulseq file, as text by name.

    Raises
    ------
    ProtocolError
        If it is not Pulseq.
    """
    return _definitions(_sections(text))


def _definitions(sections: Mapping[str, list[str]]) -> dict[str, str]:
    words = (line.split(maxsplit=1) for line in sections.get("DEFINITIONS", []))
    return {pair[0]: pair[1] for pair in words if len(pair) == 2}


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    name = ""
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("["):
            name = line.strip("[]")
            sections[name] = []
        elif line and name:
            sections[name].append(line)
    for needed in ("VERSION", "BLOCKS"):
        if needed not in sections:
            raise ProtocolError(f"the Pulseq file has no section [{needed}]: it is damaged, export it again")
    return sections


class _Reader:
    """Turns sections into tables; holds what several of them need."""

    def __init__(self, sections: Mapping[str, list[str]], larmor_frequency: float) -> None:
        self._sections = sections
        self._larmor = larmor_frequency
        version = dict(line.split() for line in sections["VERSION"])
        self._version = (int(version["major"]), int(version["minor"]))
        if self._version not in {(1, 4), (1, 5)}:
            raise ProtocolError(f"Pulseq {self._version[0]}.{self._version[1]} is not understood: export 1.4 or 1.5")
        self._definitions = _definitions(sections)
        self._shapes = _read_shapes(sections.get("SHAPES", []))

    def read(self) -> EventTables:
        gradients = {**self._table("TRAP", _trapezoid), **self._table("GRADIENTS", self._arbitrary)}
        turner = GradientTurner(gradients)
        blocks = tuple(turner.turned(block, extension) for block, extension in self._blocks())
        tables = EventTables(
            self._definitions,
            blocks,
            self._table("RF", self._pulse),
            turner.gradients,
            self._table("ADC", self._window),
        )
        for block in tables.blocks:
            _check_ids(block, tables)
        return tables

    def _raster(self, name: str) -> float:
        return float(self._definitions.get(name, _DEFAULT_RASTERS[name]))

    def _table(self, section: str, build: Callable[[list[str]], _EventT]) -> dict[int, _EventT]:
        rows = (line.split() for line in self._sections.get(section, []))
        return {int(row[0]): build(row[1:]) for row in rows}

    def _blocks(self) -> Iterator[tuple[Block, BlockExtension]]:
        raster = self._raster("BlockDurationRaster")
        extensions = read_extensions(self._sections.get("EXTENSIONS", []))
        for line in self._sections["BLOCKS"]:
            _, ticks, rf, gx, gy, gz, adc, index = (int(word) for word in line.split())
            extension = extensions(index)
            yield Block(ticks * raster, rf, (gx, gy, gz), adc, extension.labels), extension

    def _pulse(self, row: list[str]) -> RfEvent:
        amplitude, magnitude, phase, timing = float(row[0]), int(row[1]), int(row[2]), int(row[3])
        turns = self._shapes[phase] if phase else np.zeros_like(self._shapes[magnitude])
        shape = amplitude * self._shapes[magnitude] * np.exp(2j * np.pi * turns)
        raster = self._raster("RadiofrequencyRasterTime")
        envelope, edges = _piecewise_constant(shape, self._times(timing, shape.size, raster), raster)
        if self._version >= (1, 5):
            center, delay = float(row[4]) * 1e-6, float(row[5]) * 1e-6
            frequency = float(row[6]) * 1e-6 * self._larmor + float(row[8])
            offset = float(row[7]) * 1e-6 * self._larmor + float(row[9])
            return RfEvent(envelope, edges, delay, center, frequency, offset, row[10])
        power = np.abs(envelope)
        center = float(np.sum(0.5 * (edges[1:] + edges[:-1]) * power) / np.sum(power)) if power.any() else edges[-1] / 2
        return RfEvent(envelope, edges, float(row[4]) * 1e-6, center, float(row[5]), float(row[6]), "u")

    def _times(self, shape_id: int, samples: int, raster: float) -> RealArray | None:
        """Corner times of a shape, None where samples sit at the centres of the raster."""
        if shape_id > 0:
            return self._shapes[shape_id] * raster
        if shape_id < 0:
            return (np.arange(samples) + 1) * raster / 2
        return None

    def _arbitrary(self, row: list[str]) -> GradientEvent:
        amplitude = float(row[0])
        modern = self._version >= (1, 5)
        shape_id, timing = (int(row[3]), int(row[4])) if modern else (int(row[1]), int(row[2]))
        delay = float(row[-1]) * 1e-6
        shape = amplitude * self._shapes[shape_id]
        raster = self._raster("GradientRasterTime")
        times = self._times(timing, shape.size, raster)
        if timing > 0 and times is not None:
            return GradientEvent(delay + times, shape)
        first, last = (float(row[1]), float(row[2])) if modern else _edges_of(shape)
        centres = (np.arange(shape.size) + 0.5) * raster if times is None else times
        end = shape.size * raster if times is None else times[-1] + raster / 2
        return GradientEvent(delay + np.concatenate([[0.0], centres, [end]]), np.concatenate([[first], shape, [last]]))

    def _window(self, row: list[str]) -> AdcEvent:
        samples, dwell, delay = int(row[0]), float(row[1]) * 1e-9, float(row[2]) * 1e-6
        if self._version >= (1, 5):
            if int(row[7]):
                raise ProtocolError("an acquisition window with a phase shape is not understood: write it without")
            frequency = float(row[3]) * 1e-6 * self._larmor + float(row[5])
            return AdcEvent(samples, dwell, delay, frequency, float(row[4]) * 1e-6 * self._larmor + float(row[6]))
        return AdcEvent(samples, dwell, delay, float(row[3]), float(row[4]))


def _trapezoid(row: list[str]) -> GradientEvent:
    amplitude = float(row[0])
    rise, flat, fall, delay = (float(word) * 1e-6 for word in row[1:5])
    times = delay + np.cumsum([0.0, rise, flat, fall])
    return GradientEvent(times, amplitude * np.array([0.0, 1.0, 1.0, 0.0]))


def _edges_of(shape: RealArray) -> tuple[float, float]:
    """Values at the edges of a 1.4 shape, by straight extrapolation over half a raster step."""
    if shape.size < 2:
        return float(shape[0]), float(shape[-1])
    return float(1.5 * shape[0] - 0.5 * shape[1]), float(1.5 * shape[-1] - 0.5 * shape[-2])


def _piecewise_constant(shape: ComplexArray, times: RealArray | None, raster: float) -> tuple[ComplexArray, RealArray]:
    """Cut an RF shape into steps; equal neighbours become one step, so that a block pulse is one rotation."""
    if times is not None:
        if np.all(shape == shape[0]):
            return shape[:1], np.array([0.0, times[-1]])
        count = max(1, round(float(times[-1]) / raster))
        centres = (np.arange(count) + 0.5) * float(times[-1]) / count
        shape = np.interp(centres, times, shape.real) + 1j * np.interp(centres, times, shape.imag)
        raster = float(times[-1]) / count
    starts = np.flatnonzero(np.concatenate([[True], np.abs(np.diff(shape)) > 0]))
    return shape[starts], np.concatenate([starts, [shape.size]]) * raster


def _read_shapes(lines: list[str]) -> dict[int, RealArray]:
    shapes: dict[int, RealArray] = {}
    packed: list[float] = []
    index = count = 0
    for line in [*lines, "shape_id 0"]:
        if line.startswith("shape_id"):
            if index:
                shapes[index] = _unpack(packed, count)
            index, packed = int(line.split()[1]), []
        elif line.startswith("num_samples"):
            count = int(line.split()[1])
        else:
            packed.append(float(line))
    return shapes


def _unpack(packed: list[float], count: int) -> RealArray:
    """Undo Pulseq's compression: run lengths of the derivative."""
    if len(packed) == count:
        return np.array(packed)
    steps: list[float] = []
    position = 0
    while position < len(packed):
        value = packed[position]
        if position + 2 < len(packed) and packed[position + 1] == value:
            steps += [value] * (int(packed[position + 2]) + 2)
            position += 3
        else:
            steps.append(value)
            position += 1
    if len(steps) != count:
        raise ProtocolError(f"a shape unpacks to {len(steps)} samples instead of {count}: the Pulseq file is damaged")
    return np.cumsum(steps)


def _check_ids(block: Block, tables: EventTables) -> None:
    missing = [
        f"{kind} {index}"
        for kind, index, table in (
            ("RF", block.rf, tables.rf),
            ("ADC", block.adc, tables.adc),
            *(("gradient", index, tables.gradients) for index in block.gradients),
        )
        if index and index not in table
    ]
    if missing:
        raise ProtocolError(f"a block of the Pulseq file names {', '.join(missing)}, which it does not define")
