"""Extensions of a Pulseq file: labels of a block, and rotations of its gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import ProtocolError
from knightshift.hardware.pulseq_events import Block, GradientEvent

_HARMLESS = {"TRIGGERS", "DELAYS"}
"""Soft delays play with the durations that the file gives them."""
_KNOWN = {"LABELSET", "LABELINC", "ROTATIONS"} | _HARMLESS
_LARGEST_NORM_ERROR = 1e-3
_MOMENT_BEFORE = 1e-12


@dataclass(frozen=True)
class BlockExtension:
    """What the extensions of one block say."""

    labels: tuple[tuple[str, str, int], ...]
    """``("SET" or "INC", name, value)`` in the order of the file."""
    quaternion: tuple[float, float, float, float] | None
    """Rotation of the gradients, scalar part first."""


def read_extensions(lines: list[str]) -> Callable[[int], BlockExtension]:
    """Read the linked lists of extensions; the result maps the id of a list to what it says.

    Raises
    ------
    ProtocolError
        If there is an extension that changes what the spins see and is not understood.
    """
    links, names, rows = _tables(lines)
    strange = set(names.values()) - _KNOWN
    if strange:
        raise ProtocolError(f"Pulseq extensions {sorted(strange)} are not understood: write the sequence without them")

    def follow(index: int) -> BlockExtension:
        labels, quaternion, seen = [], None, set[int]()
        while index:
            if index in seen:
                raise ProtocolError(f"list {index} of extensions runs in a circle: the Pulseq file is damaged")
            seen.add(index)
            kind, reference, index = links[index]
            name = names[kind]
            if name == "ROTATIONS":
                q0, qx, qy, qz = (float(word) for word in rows[kind, reference])
                quaternion = (q0, qx, qy, qz)
            elif name not in _HARMLESS:
                value, label = rows[kind, reference]
                labels.append((name.removeprefix("LABEL"), label, int(value)))
        return BlockExtension(tuple(labels), quaternion)

    return follow


def _tables(
    lines: list[str],
) -> tuple[dict[int, tuple[int, int, int]], dict[int, str], dict[tuple[int, int], list[str]]]:
    """Links ``(kind, reference, next)`` by id, names by kind, rows by kind and reference."""
    links: dict[int, tuple[int, int, int]] = {}
    names: dict[int, str] = {}
    rows: dict[tuple[int, int], list[str]] = {}
    current = -1
    for line in lines:
        words = line.split()
        if words[0] == "extension":
            current = int(words[2])
            names[current] = words[1]
        elif current < 0:
            links[int(words[0])] = (int(words[1]), int(words[2]), int(words[3]))
        else:
            rows[current, int(words[0])] = words[1:]
    return links, names, rows


class GradientTurner:
    """Turns the gradients of blocks that have a rotation: the result has plain gradients on x, y and z only.

    Parameters
    ----------
    gradients
        The gradients of the file, by id.
    """

    def __init__(self, gradients: Mapping[int, GradientEvent]) -> None:
        self.gradients = dict(gradients)
        """The gradients of the file and the turned ones, by id."""
        self._known: dict[tuple[object, ...], tuple[int, int, int]] = {}

    def turned(self, block: Block, extension: BlockExtension) -> Block:
        """Give `block` with its gradients turned; the same block if there is nothing to turn."""
        if extension.quaternion is None or not any(block.gradients):
            return block
        key = (block.gradients, extension.quaternion)
        if key not in self._known:
            events = [self.gradients[index] if index else None for index in block.gradients]
            times = _common_corners([event for event in events if event is not None])
            before = np.stack([np.zeros(times.size) if event is None else _on(times, event) for event in events])
            x, y, z = (self._add(times, row) for row in rotation_matrix(extension.quaternion) @ before)
            self._known[key] = (x, y, z)
        return replace(block, gradients=self._known[key])

    def _add(self, times: RealArray, amplitudes: RealArray) -> int:
        if np.abs(amplitudes).max() < 1e-6:
            return 0
        index = max(self.gradients, default=0) + 1
        self.gradients[index] = GradientEvent(times, amplitudes)
        return index


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> RealArray:
    """Rotation matrix of a unit quaternion (scalar part first): it turns a vector right-handed, shape ``(3, 3)``.

    Raises
    ------
    ProtocolError
        If the quaternion is not of length 1.
    """
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1) < _LARGEST_NORM_ERROR:
        raise ProtocolError(
            f"rotation {quaternion} of the Pulseq file is no unit quaternion (its length is {length:.4g})"
        )
    w, x, y, z = (part / length for part in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _common_corners(events: list[GradientEvent]) -> RealArray:
    """All corners of all events; an event that begins or ends in a jump gets a corner of value 0 beside it [s]."""
    corners = [event.times for event in events]
    for event in events:
        if event.amplitudes[0] != 0 and event.times[0] > 0:
            corners.append(event.times[:1] - _MOMENT_BEFORE)
        if event.amplitudes[-1] != 0 and event.times[-1] < max(other.times[-1] for other in events):
            corners.append(event.times[-1:] + _MOMENT_BEFORE)
    return np.unique(np.concatenate(corners))


def _on(times: RealArray, event: GradientEvent) -> RealArray:
    amplitudes: RealArray = np.interp(times, event.times, event.amplitudes, left=0.0, right=0.0)
    return amplitudes
