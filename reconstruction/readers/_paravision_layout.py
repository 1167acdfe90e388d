"""How the raw file of a ParaVision scan is laid out, and whether its headers can be believed.

Facts established on real scans (docs/reference/raw-formats.md): loop order, padding, jobs, steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers.jcamp import ParameterFile, read_parameters

_BLOCK_BYTES = 1024
"""``Standard_KBlock_Format`` pads every trace to a multiple of this."""
_NOT_CARTESIAN = re.compile(r"epi|spiral|ute|zte|radial|propeller", re.IGNORECASE)
_NOT_IMAGING = re.compile(r"csi|press\b|steam|singlepulse|nspect|isis|laser", re.IGNORECASE)
_RAW_NAME = re.compile(r"fid|ser|rawdata\.job\d+")
_COPY_AGAIN = "copy the scan again from the console"


@dataclass(frozen=True)
class ScanFiles:
    """The parsed parameter files of one scan, and its raw file."""

    folder: Path
    """The scan folder, which holds ``acqp`` and ``method``."""
    raw: Path
    """``fid`` or ``rawdata.job0``."""
    acqp: ParameterFile
    """Acquisition parameters."""
    method: ParameterFile
    """Method parameters."""
    reco: ParameterFile | None
    """Reconstruction parameters; None where the scan was never reconstructed."""
    version: str
    """``"PV 6.0.1"``."""

    @property
    def is_360(self) -> bool:
        """Whether the samples are in a ``rawdata.jobN`` of ParaVision 360."""
        return self.raw.name.startswith("rawdata.job")


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


def find_scan_files(path: Path) -> ScanFiles:
    """Find and parse the files of a scan, from its folder, its raw file or one of its ``pdata/N`` folders."""
    folder = path if path.is_dir() else path.parent
    processed = folder if folder.parent.name == "pdata" else None
    if processed is not None:
        folder = processed.parent.parent
    asked = path if path.parent == folder and _RAW_NAME.fullmatch(path.name) else None
    acqp, method = read_parameters(folder / "acqp"), read_parameters(folder / "method")
    version = acqp.text("ACQ_sw_version") if "ACQ_sw_version" in acqp else ""
    raw = _raw_file(folder, version, asked)
    version = version or ("PV 360" if raw.name.startswith("rawdata") else "PV")
    if processed is None:
        numbers = sorted((p for p in folder.glob("pdata/*") if p.name.isdigit()), key=lambda p: int(p.name))
        processed = next((p for p in numbers if (p / "reco").is_file()), None)
    reco = read_parameters(processed / "reco") if processed and (processed / "reco").is_file() else None
    return ScanFiles(folder, raw, acqp, method, reco, version)


def _raw_file(folder: Path, version: str, asked: Path | None) -> Path:
    """Raw file of the images: the one asked for, or the first that is there and holds something."""
    names = ("rawdata.job0", "fid", "ser") if "360" in version else ("fid", "rawdata.job0", "ser")
    there = [asked] if asked is not None else [folder / name for name in names if (folder / name).is_file()]
    if not there:
        problem = f"there is no {names[0]}, {names[1]} or {names[2]} in the scan folder"
        raise DamagedDataError(folder / names[0], "raw file", problem, _COPY_AGAIN)
    for path in there:
        if path.stat().st_size > 0:
            return path
    problem = "the file is empty: the scan was aborted before its first readout"
    raise DamagedDataError(there[0], "file size", problem, "scan again")


def check_supported(files: ScanFiles) -> None:
    """Refuse what an inverse FFT alone would turn into a wrong image.

    Raises
    ------
    UnsupportedDataError
        For EPI, spiral and radial scans, spectroscopy and parallel imaging.
    """
    acqp, method = files.acqp, files.method
    name = method.text("Method") if "Method" in method else acqp.text("ACQ_method")
    program = acqp.text("PULPROG") if "PULPROG" in acqp else ""
    orders = files.reco.values("RECO_inp_order") if files.reco and "RECO_inp_order" in files.reco else []
    if _NOT_CARTESIAN.search(name) or _NOT_CARTESIAN.search(program) or any("ALT" in order for order in orders):
        raise UnsupportedDataError(
            f"{files.folder}: method {name}: EPI, spiral and radial scans need more than an FFT (trajectory, odd/even "
            "echo phase): reconstruct it on the console"
        )
    if _NOT_IMAGING.search(name) or _is_spectral(acqp):
        raise UnsupportedDataError(f"{files.folder}: method {name} is spectroscopy: only images are read")
    if (n_dims := dimensions(files)) not in (2, 3):
        raise UnsupportedDataError(f"{files.folder}: method {name} is {n_dims}-dimensional: only 2D and 3D are read")
    for parameter in ("PVM_EncPpi", "PVM_EncPpiAccel1"):
        if parameter in method and np.any(method.floats(parameter) > 1):
            raise UnsupportedDataError(f"{files.folder}: {parameter} > 1: parallel imaging is not reconstructed")
    if "PVM_EncCS" in method and method.text("PVM_EncCS") == "Yes":
        raise UnsupportedDataError(f"{files.folder}: PVM_EncCS: compressed sensing is not reconstructed")


def _is_spectral(acqp: ParameterFile) -> bool:
    described = acqp.values("ACQ_dim_desc") if "ACQ_dim_desc" in acqp else []
    return any("spatial" not in word.lower() for word in described)


def dimensions(files: ScanFiles) -> int:
    """Count the encoded dimensions of the scan, the readout included."""
    if "ACQ_dim" in files.acqp:
        return files.acqp.count("ACQ_dim", at_most=9)
    digits = files.method.text("PVM_SpatDimEnum")[:1]
    return int(digits) if digits.isdigit() else 0


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
        n_repetitions=_repetitions(files),
        n_partitions=encoded[2] if len(encoded) == 3 else 1,
        n_segments=n_lines // train,
        n_objects=files.acqp.count("NI"),
        train_length=train,
        n_receivers=n_receivers,
        n_samples=encoded[0],
        block_words=reals * n_receivers,
        word=_word(files),
    )
    layout = _padded(files, layout)
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

    Old scans without ``PVM_EncSteps1`` give ``ACQ_spatial_phase_1`` from -1 to 1, or are in linear order.
    """
    if "PVM_EncSteps1" in files.method:
        return files.method.integers("PVM_EncSteps1")
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
    return np.arange(n_lines) - n_lines // 2


def _receiver_count(files: ScanFiles) -> int:
    if "PVM_EncNReceivers" in files.method:
        return files.method.count("PVM_EncNReceivers", 1024)
    if "ACQ_ReceiverSelect" in files.acqp:
        return max(1, sum(word == "Yes" for word in files.acqp.values("ACQ_ReceiverSelect")))
    return 1


def _repetitions(files: ScanFiles) -> int:
    if "NR" in files.acqp:
        return files.acqp.count("NR")
    return files.method.count("PVM_NRepetitions") if "PVM_NRepetitions" in files.method else 1


def _train_length(files: ScanFiles, n_lines: int) -> int:
    """Lines of one image after one excitation; ``ACQ_phase_factor`` is no guide in ParaVision 360."""
    for source, name in ((files.method, "PVM_RareFactor"), (files.acqp, "ACQ_rare_factor")):
        if name in source:
            return source.count(name, n_lines)
    return 1


def _trace_reals(files: ScanFiles) -> int:
    """Reals of one trace of one receiver."""
    if files.is_360:
        return _imaging_job(files)
    reals = int(files.acqp.integers("ACQ_size")[:1].sum())
    if not 2 <= reals <= 2**24 or reals % 2:
        raise DamagedDataError(files.acqp.path, "ACQ_size", f"{reals} reals cannot be a trace of complex points")
    return reals


def _padded(files: ScanFiles, layout: RawLayout) -> RawLayout:
    """Layout with every trace padded to whole blocks, where ParaVision does so."""
    if files.is_360:
        return layout
    per_block = _BLOCK_BYTES // np.dtype(layout.word).itemsize
    padded = replace(layout, block_words=-(-layout.block_words // per_block) * per_block)
    if "GO_block_size" not in files.acqp:  # then only the size of the file can tell
        return padded if files.raw.stat().st_size == padded.n_bytes else layout
    return padded if files.acqp.text("GO_block_size") == "Standard_KBlock_Format" else layout


def _imaging_job(files: ScanFiles) -> int:
    """Reals of one trace, from the entry of ``<job0>`` in ``ACQ_jobs``; drift and navigator jobs stand beside it."""
    name = files.raw.name.removeprefix("rawdata.")
    for job in files.acqp.structs("ACQ_jobs"):
        if name not in job:
            continue
        try:
            reals, scans = int(job[0]), int(job[6])
        except (ValueError, IndexError):
            raise DamagedDataError(files.acqp.path, "ACQ_jobs", f"the entry {job} cannot be read") from None
        if scans < 1 or not 2 <= reals <= 2**24 or reals % 2:
            problem = f"<{name}> claims {scans} scans of {reals} reals: the scan was aborted"
            raise DamagedDataError(files.acqp.path, "ACQ_jobs", problem, "scan again")
        return reals
    raise DamagedDataError(files.acqp.path, "ACQ_jobs", f"it has no entry <{name}>")


def _word(files: ScanFiles) -> str:
    little = files.is_360 or "BYTORDA" not in files.acqp or files.acqp.text("BYTORDA").lower().startswith("l")
    order = "<" if little else ">"
    kind = "GO_32BIT_SGN_INT"
    if not files.is_360 and "GO_raw_data_format" in files.acqp:
        kind = files.acqp.text("GO_raw_data_format")
    try:
        return order + {"GO_32BIT_SGN_INT": "i4", "GO_16BIT_SGN_INT": "i2", "GO_32BIT_FLOAT": "f4"}[kind]
    except KeyError:
        raise UnsupportedDataError(f"{files.acqp.path}: GO_raw_data_format {kind} is not known") from None


def _check_size(files: ScanFiles, layout: RawLayout) -> None:
    actual = files.raw.stat().st_size
    if actual == layout.n_bytes:
        return
    word = "truncated" if actual < layout.n_bytes else "larger than its headers say"
    problem = (
        f"the file is {word}: {actual} bytes, but {layout.n_repetitions} repetitions x {layout.n_objects} objects x "
        f"{layout.n_partitions * layout.n_lines} lines x {layout.n_receivers} receivers of {layout.n_samples} points "
        f"need {layout.n_bytes}"
    )
    raise DamagedDataError(files.raw, "file size", problem, _COPY_AGAIN)


def read_samples(files: ScanFiles, layout: RawLayout, object_order: IntArray) -> ComplexArray:
    """Read the raw file and sort its objects.

    Returns
    -------
    ComplexArray
        complex64, shape ``(repetition, object, partition, channel, line, sample)``.
    """
    words = np.memmap(files.raw, dtype=layout.word, mode="r").reshape(layout.n_blocks, layout.block_words)
    used = words[:, : 2 * layout.n_samples * layout.n_receivers].reshape(
        layout.n_repetitions,
        layout.n_partitions,
        layout.n_segments,
        layout.n_objects,
        layout.train_length,
        layout.n_receivers,
        layout.n_samples,
        2,
    )
    outer = layout.n_repetitions, layout.n_partitions
    inner = layout.n_receivers, layout.n_lines, layout.n_samples
    kspace = np.empty((outer[0], layout.n_objects, outer[1], *inner), np.complex64)
    for position, target in enumerate(object_order):
        one = used[:, :, :, position].transpose(0, 1, 4, 2, 3, 5, 6).reshape(*outer, *inner, 2)
        kspace[:, target].real, kspace[:, target].imag = one[..., 0], one[..., 1]
    return kspace
