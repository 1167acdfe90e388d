"""How the raw file of a ParaVision scan is laid out, and whether its headers can be believed.

Facts established on real scans (docs/reference/raw-formats.md): loop order, padding, jobs, steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from knightshift.core.arrays import IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._paravision_console import console_sorting
from knightshift.reconstruction.readers._paravision_files import ScanFiles, dimensions
from knightshift.reconstruction.readers._paravision_jobs import imaging_job_reals, job_word
from knightshift.reconstruction.readers._raw_files import file_size, read_start

_BLOCK_BYTES = 1024
"""``Standard_KBlock_Format`` pads every trace to a multiple of this."""
_COPY_AGAIN = "copy the scan again from the console"


@dataclass(frozen=True)
class RawLayout:
    """Counts of the loops in the raw file, outermost first, and the words it is made of."""

    n_repetitions: int
    """Repetitions of the whole scan."""
    n_partitions: int
    """Steps of the second phase encoding; 1 in a 2D scan."""
    n_segments: int
    """Excitations that make up one image."""
    n_objects: int
    """Slices times echo images."""
    train_length: int
    """Lines of one image acquired after one excitation."""
    n_receivers: int
    """Receivers."""
    n_samples: int
    """Complex points of one readout."""
    block_words: int
    """Words from one trace (all its receivers) to the next, padding included."""
    word: str
    """numpy type of one word: ``"<i4"``."""

    @property
    def n_lines(self) -> int:
        """Phase-encode lines of one image."""
        return self.n_segments * self.train_length

    @property
    def n_blocks(self) -> int:
        """Traces in the file."""
        return self.n_repetitions * self.n_partitions * self.n_lines * self.n_objects

    @property
    def n_bytes(self) -> int:
        """Size that the raw file must have."""
        return self.n_blocks * self.block_words * np.dtype(self.word).itemsize


def raw_layout(files: ScanFiles) -> RawLayout:
    """Work out the loops of the raw file and hold them against its size.

    Raises
    ------
    DamagedDataError
        If the headers contradict each other or the size of the file.
    UnsupportedDataError
        If the readouts are not Cartesian lines.
    """
    encoded = _encoded_matrix(files)
    n_lines = line_steps(files).size
    if encoded[1] != n_lines:
        problem = f"PVM_EncMatrix {encoded} does not fit {n_lines} phase-encode steps"
        raise DamagedDataError(files.method.path, "PVM_EncMatrix", problem)
    train = _train_length(files, n_lines)
    if n_lines % train:
        raise DamagedDataError(files.method.path, "PVM_RareFactor", f"{n_lines} lines are no multiple of it ({train})")
    n_receivers = _receiver_count(files)
    reals = _trace_reals(files)
    if reals != 2 * encoded[0]:
        raise UnsupportedDataError(
            f"{files.folder}: a trace holds {reals} reals, a Cartesian line {2 * encoded[0]} (PVM_EncMatrix): "
            "this is no Cartesian scan of one line per trace"
        )
    layout = RawLayout(
        n_repetitions=planned_repetitions(files),
        n_partitions=encoded[2] if len(encoded) == 3 else 1,
        n_segments=n_lines // train,
        n_objects=_object_count(files),
        train_length=train,
        n_receivers=n_receivers,
        n_samples=encoded[0],
        block_words=reals * n_receivers,
        word=_word(files),
    )
    layout = _finished(files, _padded(files, layout))
    _check_size(files, layout)
    return layout


def _encoded_matrix(files: ScanFiles) -> list[int]:
    """Acquired points along readout, phase_encode and, in 3D, the second phase encoding."""
    n_dims = dimensions(files)
    if "PVM_EncMatrix" in files.method:
        source, name = files.method, "PVM_EncMatrix"
        values = [int(n) for n in source.integers(name)]
    else:
        source, name = files.acqp, "ACQ_size"
        values = [int(n) for n in source.integers(name)]
        values[:1] = [n // 2 for n in values[:1]]
    if len(values) != n_dims or not all(1 <= n <= 65536 for n in values):
        raise DamagedDataError(source.path, name, f"{values} are not {n_dims} sizes of a k-space")
    return values


def line_steps(files: ScanFiles) -> IntArray:
    """Phase-encode step of each line in order of acquisition, 0 at k = 0, shape ``(line,)``.

    The console's own sorting comes first: its image is made of it. Old scans without ``PVM_EncSteps1`` give
    ``ACQ_spatial_phase_1`` from -1 to 1, or are in linear order.
    """
    if "PVM_EncSteps1" in files.method:
        steps = files.method.integers("PVM_EncSteps1")
        sorting = console_sorting(files.reco, steps.size, _object_count(files))
        return steps if sorting is None else sorting.steps
    if "ACQ_spatial_phase_1" in files.acqp:
        phases = files.acqp.floats("ACQ_spatial_phase_1")
        spacing = np.min(np.diff(np.unique(phases))) if np.unique(phases).size > 1 else 1.0
        return np.asarray(np.rint(phases / spacing), dtype=np.int64)
    n_lines = _encoded_matrix(files)[1]
    if _train_length(files, n_lines) > 1:
        raise UnsupportedDataError(
            f"{files.folder}: neither PVM_EncSteps1 nor ACQ_spatial_phase_1 says in which order the lines of an echo "
            "train were acquired"
        )
    modes = files.acqp.values("ACQ_phase_encoding_mode")[1:2] if "ACQ_phase_encoding_mode" in files.acqp else ["Linear"]
    if modes != ["Linear"]:
        raise UnsupportedDataError(
            f"{files.acqp.path}: ACQ_phase_encoding_mode {', '.join(modes)} without the steps of its lines is not read"
        )
    return np.arange(n_lines) - n_lines // 2


def partition_steps(files: ScanFiles, n_partitions: int) -> IntArray:
    """Second phase-encode step of each partition in order of acquisition, 0 at k = 0, shape ``(partition,)``."""
    if "PVM_EncSteps2" in files.method:
        return files.method.integers("PVM_EncSteps2")
    return np.arange(n_partitions) - n_partitions // 2


def onto_grid(steps: IntArray, n_grid: int) -> IntArray:
    """Move the steps of a full set to within ``-n_grid // 2`` and the same on the other side.

    The set may start one below, or at zero: the transform has the period `n_grid` in k.
    """
    if steps.size != n_grid:
        return steps
    return np.asarray((steps + n_grid // 2) % n_grid - n_grid // 2)


def encoding_order(files: ScanFiles, layout: RawLayout) -> IntArray | None:
    """Place ``partition x n_lines + line`` of each acquired line of a 3D scan; None: in that order already.

    Parameters
    ----------
    files, layout
        The scan.

    Raises
    ------
    UnsupportedDataError
        If not every line of every partition was acquired once.
    """
    names = ("PVM_EncGenSteps1", "PVM_EncGenSteps2")
    if layout.n_partitions == 1 or not all(name in files.method for name in names):
        return None
    first, second = (files.method.integers(name) for name in names)
    lines, n_lines = line_steps(files), layout.n_lines
    partitions = partition_steps(files, layout.n_partitions)
    inside = np.isin(first, lines).all() and np.isin(second, partitions).all()
    if first.size != second.size or first.size != n_lines * layout.n_partitions or not inside:
        raise UnsupportedDataError(
            f"{files.folder}: PVM_EncGenSteps1 and 2 are no full grid of {n_lines} lines x {layout.n_partitions} "
            "partitions: an incomplete k-space is not completed"
        )
    by_line, by_partition = np.argsort(lines), np.argsort(partitions)
    line = by_line[np.searchsorted(lines[by_line], first)]
    partition = by_partition[np.searchsorted(partitions[by_partition], second)]
    places = partition * n_lines + line
    if np.unique(places).size != places.size:
        raise UnsupportedDataError(f"{files.folder}: PVM_EncGenSteps1 and 2 acquire a line of k-space twice")
    return None if np.array_equal(places, np.arange(places.size)) else places


def _receiver_count(files: ScanFiles) -> int:
    if "PVM_EncNReceivers" in files.method:
        return files.method.count("PVM_EncNReceivers", 1024)
    if "ACQ_ReceiverSelect" in files.acqp:
        return max(1, sum(word == "Yes" for word in files.acqp.values("ACQ_ReceiverSelect")))
    return 1


def planned_repetitions(files: ScanFiles) -> int:
    """Repetitions that the scan was to have; one that was stopped has fewer."""
    if "NR" in files.acqp:
        return files.acqp.count("NR")
    return files.method.count("PVM_NRepetitions") if "PVM_NRepetitions" in files.method else 1


def _train_length(files: ScanFiles, n_lines: int) -> int:
    """Lines of one image acquired in a row: an echo train, or a segment of a gradient-echo scan.

    The console's own sorting says it best. ``ACQ_phase_factor`` is no guide in ParaVision 360, where it is always 1.
    """
    sorting = console_sorting(files.reco, n_lines, _object_count(files))
    if sorting is not None:
        return sorting.train_length
    if not files.is_360 and "ACQ_phase_factor" in files.acqp:
        return files.acqp.count("ACQ_phase_factor", n_lines)
    for source, name in ((files.method, "PVM_RareFactor"), (files.acqp, "ACQ_rare_factor")):
        if name in source:
            return source.count(name, n_lines)
    return 1


def _object_count(files: ScanFiles) -> int:
    return files.acqp.count("NI")


def _trace_reals(files: ScanFiles) -> int:
    """Reals of one trace of one receiver."""
    if files.job:
        return imaging_job_reals(files.acqp, files.job)
    reals = int(files.acqp.integers("ACQ_size")[:1].sum())
    if not 2 <= reals <= 2**24 or reals % 2:
        raise DamagedDataError(files.acqp.path, "ACQ_size", f"{reals} reals cannot be a trace of complex points")
    return reals


def _padded(files: ScanFiles, layout: RawLayout) -> RawLayout:
    """Layout with every trace padded to whole blocks, where ParaVision does so."""
    if files.job:
        return layout
    per_block = _BLOCK_BYTES // np.dtype(layout.word).itemsize
    padded = replace(layout, block_words=-(-layout.block_words // per_block) * per_block)
    if "GO_block_size" not in files.acqp:  # then only the size of the file can tell
        return padded if files.raw.stat().st_size == padded.n_bytes else layout
    return padded if files.acqp.text("GO_block_size") == "Standard_KBlock_Format" else layout


def _word(files: ScanFiles) -> str:
    little = "BYTORDA" not in files.acqp or files.acqp.text("BYTORDA").lower().startswith("l")
    order = "<" if little else ">"
    if files.job:
        return order + job_word(files.acqp, files.job)
    kind = files.acqp.text("GO_raw_data_format") if "GO_raw_data_format" in files.acqp else "GO_32BIT_SGN_INT"
    try:
        return order + {"GO_32BIT_SGN_INT": "i4", "GO_16BIT_SGN_INT": "i2", "GO_32BIT_FLOAT": "f4"}[kind]
    except KeyError:
        raise UnsupportedDataError(f"{files.acqp.path}: GO_raw_data_format {kind} is not known") from None


def _finished(files: ScanFiles, layout: RawLayout) -> RawLayout:
    """Layout with the repetitions that were finished, where the console says that it was stopped (ACQ_completed)."""
    stopped = "ACQ_completed" in files.acqp and files.acqp.text("ACQ_completed") == "No"
    finished = file_size(files.raw) * layout.n_repetitions // layout.n_bytes
    return replace(layout, n_repetitions=finished) if stopped and 1 <= finished < layout.n_repetitions else layout


def _check_size(files: ScanFiles, layout: RawLayout) -> None:
    actual = file_size(files.raw)
    if actual == layout.n_bytes or (actual > layout.n_bytes and layout.n_repetitions < planned_repetitions(files)):
        return
    if read_start(files.raw, 42).startswith(b"version https://git-lfs"):
        problem = "this is the pointer of a git-lfs file, not the file itself"
        raise DamagedDataError(files.raw, "raw file", problem, "fetch it with git lfs pull")
    word = "truncated" if actual < layout.n_bytes else "larger than its headers say"
    problem = (
        f"the file is {word}: {actual} bytes, but {layout.n_repetitions} repetitions x {layout.n_objects} objects x "
        f"{layout.n_partitions * layout.n_lines} lines x {layout.n_receivers} receivers of {layout.n_samples} points "
        f"need {layout.n_bytes}"
    )
    raise DamagedDataError(files.raw, "file size", problem, _COPY_AGAIN)
