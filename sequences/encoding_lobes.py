"""Phase-encode lobes, spoilers, and the extent of what is encoded."""

from __future__ import annotations

from knightshift.sequences.cartesian_readout import largest_line_area, line_area
from knightshift.sequences.gradient_lobes import GradientSystem, scaled
from knightshift.sequences.protocol_fields import ImagingFields
from knightshift.sequences.pulseq_system import Event


class LineLobes:
    """Phase-encode gradients of one duration: the same trapezoid for every line, scaled."""

    def __init__(self, protocol: ImagingFields, duration: float, gradients: GradientSystem) -> None:
        self._protocol = protocol
        self._largest = largest_line_area(protocol)
        self._lobe = gradients.lobe(protocol.phase_axis, self._largest, duration)
        self._made: dict[tuple[int, int], Event | None] = {}

    def of(self, line: int, sign: int = 1) -> Event | None:
        """Gradient that moves to line `line` (``sign`` 1) or away from it (-1); None at the centre of k-space."""
        if self._lobe is None:
            return None
        if (line, sign) not in self._made:
            factor = sign * line_area(self._protocol, line) / self._largest
            self._made[line, sign] = scaled(self._lobe, factor)
        return self._made[line, sign]


def spoiler_area(protocol: ImagingFields) -> float:
    """Area of the spoiler at the end of each repetition [1/m]."""
    return protocol.spoiler_cycles / protocol.depth


def imaging_extent(protocol: ImagingFields) -> dict[str, float]:
    """Field of view of the imaged axes, depth of the third [m]."""
    extent: dict[str, float] = {protocol.slice_axis: protocol.depth}
    extent.update({str(axis): length for axis, length in protocol.field_of_view.items()})
    return extent
