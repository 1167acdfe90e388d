"""What an Agilent or Varian scan steps from block to block: the groups of its ``array`` parameter.

``array='te,ti'`` steps every ``ti`` within each ``te``; ``array='(te,ti)'`` steps both at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._agilent_files import Procpar

_GROUP = re.compile(r"\(([A-Za-z_]\w*(?:,[A-Za-z_]\w*)*)\)|([A-Za-z_]\w*)")
_MOST_SHOWN = 16
SLICES = "pss"


@dataclass(frozen=True)
class ArrayGroup:
    """Parameters that are stepped together."""

    names: tuple[str, ...]
    """Names of the parameters."""
    count: int
    """Steps."""

    @property
    def loop(self) -> str:
        """Name of the loop over its steps."""
        return "slice" if self.names == (SLICES,) else ",".join(self.names)


def array_groups(procpar: Procpar) -> tuple[ArrayGroup, ...]:
    """Take ``array`` apart into its groups, the last one fastest.

    Raises
    ------
    UnsupportedDataError
        If `array` is not understood.
    DamagedDataError
        If parameters that are stepped together have different numbers of values.
    """
    text = procpar.text("array").replace(" ", "")
    found = list(_GROUP.finditer(text))
    if ",".join(match.group() for match in found) != text:
        raise UnsupportedDataError(f"{procpar.path}: an array of {text[:80]!r} is not understood")
    groups = [tuple((match.group(1) or match.group(2)).split(",")) for match in found]
    names = [name for group in groups for name in group]
    if len(set(names)) != len(names) or any(SLICES in group and len(group) > 1 for group in groups):
        raise UnsupportedDataError(f"{procpar.path}: an array of {text[:80]!r} is not read: its loops cannot be told")
    return tuple(_group(procpar, group) for group in groups)


def _group(procpar: Procpar, names: tuple[str, ...]) -> ArrayGroup:
    counts = [len(procpar.values.get(name, ())) for name in names]
    if counts[0] < 1 or len(set(counts)) > 1:
        problem = f"{','.join(names)} have {', '.join(map(str, counts))} values"
        raise DamagedDataError(procpar.path, "array", problem)
    return ArrayGroup(names, counts[0])


def contrast_of(procpar: Procpar, groups: tuple[ArrayGroup, ...]) -> ArrayGroup | None:
    """Group whose steps are the contrasts of a series: echo times before inversion times; None where there is none."""
    if procpar.count("ne", 1) > 1:  # the echoes of a train are the contrasts then
        return None
    for name in ("te", "ti"):
        if name == "ti" and procpar.text("ir", "y") != "y":
            continue
        for group in groups:
            if group.names == (name,):
                return group
    return None


def why_repetitions_differ(procpar: Procpar, repeated: tuple[ArrayGroup, ...]) -> str:
    """Tell why the repetitions are not of the same image; empty where they are (a plain series of images)."""
    stepped = [group for group in repeated if not _only_repeats(procpar, group)]
    return f"the array {','.join(group.loop for group in stepped)} steps them" if stepped else ""


def _only_repeats(procpar: Procpar, group: ArrayGroup) -> bool:
    return group.names == ("image",) and set(procpar.numbers("image")) == {1.0}


def unknown_times(repeated: tuple[ArrayGroup, ...]) -> tuple[str, ...]:
    """Say that repetitions have echo times of their own, where these are stepped along."""
    names = {name for group in repeated for name in group.names}
    return ("the echo times of all repetitions but the first: te is stepped with them",) * bool(names & {"te", "te2"})


def stepped_values(procpar: Procpar, groups: tuple[ArrayGroup, ...]) -> dict[str, str]:
    """Values of everything that is stepped, as text, by ``"array NAME"``."""
    shown = {}
    for name in (name for group in groups for name in group.names if name != SLICES):
        values = procpar.values[name]
        more = f", … ({len(values)} in all)" if len(values) > _MOST_SHOWN else ""
        shown[f"array {name}"] = ", ".join(values[:_MOST_SHOWN]) + more
    return shown
