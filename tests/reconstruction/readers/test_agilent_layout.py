"""Where Agilent and Varian scans have their traces: by block and trace, as the console's own software seeks them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers import inspect_raw
from knightshift.reconstruction.readers.agilent import read_agilent
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_scan, reconstruct_repetitions

from .conftest import AGILENT_IMAGE, Agilent

VALUES: dict[str, list[str | float]] = {
    "te": [0.01, 0.02], "ti": [0.1, 0.2, 0.4], "tr": [1, 2], "flip1": [10, 20], "dro": [0, 1, 0],
    "image": [1, 1, 1],
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Counts of the loops of one scan."""

    seqcon: str
    array: tuple[str, ...] = ()
    """Groups, a joint one as ``te+tr``."""
    n_echoes: int = 1
    n_slices: int = 1
    n_receivers: int = 1
    n_lines: int = 4
    n_partitions: int = 1
    train: int = 1

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of each group but the slices."""
        return tuple(len(VALUES[group.split("+")[0]]) for group in self.array if group != "pss")

    @property
    def slices_cycle(self) -> int:
        """Blocks of an array from one slice to the next, receivers not counted."""
        after = self.array[self.array.index("pss") + 1 :] if "pss" in self.array else ()
        return prod(len(VALUES[group.split("+")[0]]) for group in after)

    @property
    def n_blocks(self) -> int:
        """All blocks: what the console calls arraydim."""
        standard = {1: self.n_slices, 2: self.n_lines // self.train, 3: self.n_partitions}
        return prod(self.steps) * self.n_receivers * prod(n for at, n in standard.items() if self.seqcon[at] == "s")

    @property
    def n_traces(self) -> int:
        """Traces in one block."""
        everything = self.n_echoes * self.n_slices * self.n_lines * self.n_partitions
        return prod(self.steps) * self.n_receivers * everything // self.n_blocks

    def place(self, volume: int, receiver: int, slice_: int, line: int, partition: int, echo: int) -> tuple[int, int]:
        """Block and trace of one readout."""
        segment, step = divmod(line, self.train)
        rest = echo if self.train == 1 else step
        inner = self.n_echoes * self.train
        block = volume
        if self.seqcon[1] == "s" and self.n_slices > 1:
            cycle = self.slices_cycle
            block = (volume // cycle) * cycle * self.n_slices + volume % cycle + slice_ * cycle
        block = block * self.n_receivers + receiver
        trace = rest
        if self.seqcon[1] != "s":
            trace += slice_ * inner
            inner *= self.n_slices
        every = self.n_blocks
        if self.seqcon[3] == "s":
            every //= self.n_partitions
            block += partition * every
        if self.seqcon[2] == "s":
            block += segment * (every // (self.n_lines // self.train))
        else:
            trace += segment * inner
            inner *= self.n_lines // self.train
        if self.seqcon[3] == "c":
            trace += partition * inner
        return block, trace

    def write(self, folder: Path) -> tuple[Path, np.ndarray]:
        """Write a scan; the number of each readout, shape ``(volume, echo, slice, receiver, partition, line)``."""
        shape = prod(self.steps), self.n_echoes, self.n_slices, self.n_receivers, self.n_partitions, self.n_lines
        numbers = 1 + np.arange(prod(shape)).reshape(shape)
        traces = np.zeros((self.n_blocks, self.n_traces, 4), complex)
        for volume, echo, slice_, receiver, partition, line in np.ndindex(*shape):
            block, trace = self.place(volume, receiver, slice_, line, partition, echo)
            assert traces[block, trace, 0] == 0
            traces[block, trace] = numbers[volume, echo, slice_, receiver, partition, line]
        groups = [f"({group.replace('+', ',')})" if "+" in group else group for group in self.array]
        stepped = {name for group in self.array for name in group.split("+")}
        parameters = AGILENT_IMAGE | {name: VALUES[name] for name in stepped if name != "pss"}
        parameters |= {
            "seqcon": [self.seqcon], "array": [",".join(groups)], "ne": [self.n_echoes], "nv": [self.n_lines],
            "ns": [1 if self.seqcon[1] == "s" else self.n_slices], "pss": list(range(self.n_slices)),
            "rcvrs": ["y" * self.n_receivers], "seqfil": ["mems" if self.n_echoes > 1 else "gems"], "ir": ["y"],
        }  # fmt: skip
        if self.n_partitions > 1:
            parameters |= {"nv2": [self.n_partitions], "lpe2": [1.0], "seqfil": ["mge3d"], "te2": [0.005]}
        if self.train > 1:
            order = [(3 * line) % self.n_lines - self.n_lines // 2 for line in range(self.n_lines)]
            apptype = "im3Dfse" if self.n_partitions > 1 else "im2Dfse"
            parameters |= {"apptype": [apptype], "etl": [self.train], "pelist": order, "seqfil": ["fsems"]}
        return Agilent(traces, parameters).write(folder), numbers


LAYOUTS = [
    Layout("nccnn", n_slices=3), Layout("ncsnn", n_slices=3), Layout("ccsnn", n_echoes=5, n_slices=3),
    Layout("cccnn", n_echoes=5, n_slices=2, n_receivers=2), Layout("nscnn", ("pss",), n_slices=3),
    Layout("nssnn", ("pss",), n_slices=3, n_receivers=2), Layout("ncsnn", ("ti",), n_slices=2, n_receivers=2),
    Layout("nccnn", ("te",), n_slices=2), Layout("nssnn", ("pss", "ti"), n_slices=3, n_receivers=2),
    Layout("nscnn", ("ti", "pss"), n_slices=3), Layout("ncsnn", ("te", "ti"), n_slices=2, n_receivers=2),
    Layout("ncsnn", ("ti", "te"), n_slices=2), Layout("nccnn", ("te+tr",), n_slices=2),
    Layout("ncsnn", ("tr", "te+flip1", "ti")), Layout("nssnn", ("tr", "pss", "ti"), n_slices=2),
    Layout("ccsnn", ("ti",), n_echoes=4, n_slices=2), Layout("cccnn", ("tr", "te"), n_echoes=3, n_slices=2),
    Layout("ncccn", n_partitions=6), Layout("nccsn", n_partitions=6), Layout("ncscn", n_partitions=6, n_receivers=2),
    Layout("ncssn", ("ti",), n_partitions=6, n_receivers=2), Layout("ccssn", n_echoes=3, n_partitions=6),
    Layout("cccsn", ("tr",), n_echoes=3, n_partitions=2, n_receivers=2),
    Layout("nccnn", n_slices=3, n_lines=8, train=4), Layout("ncsnn", n_slices=3, n_lines=8, train=4, n_receivers=2),
    Layout("nscnn", ("pss",), n_slices=3, n_lines=8, train=2),
    Layout("nssnn", ("pss", "te"), n_slices=2, n_lines=8, train=4),
    Layout("ncsnn", ("te", "dro"), n_slices=2, n_lines=8, train=2), Layout("nccsn", n_partitions=4, n_lines=8, train=4),
    Layout("ncccn", n_partitions=4, n_lines=8, train=2),
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: f"{one.seqcon}-{','.join(one.array)}-{one.train}")
def test_every_readout_is_found_where_the_console_seeks_it(tmp_path: Path, layout: Layout) -> None:
    folder, numbers = layout.write(tmp_path)
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    repeated, contrasts = scan.kspace.shape[0], scan.kspace.shape[1] // layout.n_echoes
    groups = [group for group in layout.array if group != "pss"]
    by_group = numbers.reshape(*layout.steps, *numbers.shape[1:])
    stepped = "te" if "te" in groups else "ti" if "ti" in groups else ""
    if layout.n_echoes == 1 and stepped:
        by_group = np.moveaxis(by_group, groups.index(stepped), len(groups) - 1)
        assert contrasts == len(VALUES[stepped])
    expected = by_group.reshape(repeated, contrasts * layout.n_echoes, *numbers.shape[2:])
    expected = expected.transpose(0, 1, 2, 4, 3, 5)  # receivers after slices and partitions
    expected = expected.reshape(*expected.shape[:2], -1, layout.n_receivers, layout.n_lines)
    np.testing.assert_array_equal(scan.kspace[..., 0].real, expected)


def test_lines_of_a_fast_spin_echo_lie_where_their_list_says(tmp_path: Path) -> None:
    folder, _ = Layout("ncsnn", n_lines=8, train=4).write(tmp_path)
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    assert scan.line_steps.tolist() == [-4, -1, 2, -3, 0, 3, -2, 1]
    assert scan.refocused is True
    assert scan.parameters["echo train"].startswith("4 lines")


def test_table_copied_beside_procpar_says_the_order(tmp_path: Path) -> None:
    folder, _ = Layout("ncsnn", n_lines=8, train=4).write(tmp_path)
    text = (folder / "procpar").read_text()
    begin = text.index("pelist")
    text = text[:begin] + text[text.index("0 \n", text.index("\n", begin) + 1) + 3 :]
    (folder / "procpar").write_text(text + 'petable 2 2 1e6 0 0 2 1 0 1 64\n1 "fse8_4"\n0 \n')
    (folder / "fse8_4").write_text("t1 =\n -3 0 3 -2\n 1 4 -1 2\n")
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    assert scan.line_steps.tolist() == [-4, -1, 2, -3, 0, 3, -2, 1]
    for text in ("t1 = -3 0 3-2\n 1 4 -1 2\n", "t2 = 1 2\n", "t1 = 0 0 0 0 0 0 0 0", "t1 = 99999999999999999999"):
        (folder / "fse8_4").write_text(text)
        with pytest.raises(DamagedDataError):
            read_agilent(folder)


@pytest.mark.parametrize("array", [("te", "ti"), ("te+tr",), ("dro",)], ids=str)
def test_images_of_other_steps_are_not_averaged(tmp_path: Path, array: tuple[str, ...]) -> None:
    folder, _ = Layout("nccnn", array).write(tmp_path)
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    assert scan.repetitions_differ
    assert any("te is stepped" in line for line in scan.missing) == (array == ("te+tr",))
    rows = dict(inspect_raw(folder).rows)
    assert rows["repetitions"] == f"not of the same image: {scan.repetitions_differ}"
    assert rows["k-space"].startswith(f"{len(scan.kspace)} repetitions that differ, ")
    with pytest.raises(InputError, match="repetitions: separate"):
        images_of_scan(scan)
    every = reconstruct_repetitions(folder, Recipe(repetitions="separate"))
    assert len(every) == len(VALUES[array[-1].split("+")[0]])


def test_a_series_of_equal_images_is_averaged(tmp_path: Path) -> None:
    folder, _ = Layout("nccnn", ("image",)).write(tmp_path)
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    assert scan.repetitions_differ == ""
    assert images_of_scan(scan).images.shape[:2] == (1, 1)


def test_inversion_times_of_a_scan_without_inversion_are_only_a_label(tmp_path: Path) -> None:
    folder, _ = Layout("nccnn", ("ti",)).write(tmp_path)
    (folder / "procpar").write_text((folder / "procpar").read_text().replace('1 "y"\n0 \n', '1 "n"\n0 \n'))
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    assert scan.inversion_times is None
    assert scan.kspace.shape[0] == 3
