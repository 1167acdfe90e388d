"""How the raw file of a ParaVision scan is laid out, and whether its headers can be believed.

Facts established on real scans (docs/reference/raw-formats.md): loop order, padding, jobs, steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers.jcamp import ParameterFile, read_parameters

_BLOCK_BYTES = 1024
"""``Standard_KBlock_Format`` pads every trace to a multiple of this."""
_NOT_CARTESIAN = re.compile(r"epi|spiral|ute|zte|radial|propeller", re.IGNORECASE)
_NOT_IMAGING = re.compile(r"csi|press\b|steam|singlepulse|nspect|isis|laser", re.IGNORECASE)
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
        return self.n_repetitions * self.n_lines * self.n_objects

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
    acqp, method = read_parameters(folder / "acqp"), read_parameters(folder / "method")
    version = acqp.text("ACQ_sw_version") if "ACQ_sw_version" in acqp else ""
    raw = _raw_file(folder, version)
    version = version or ("PV 360" if raw.name.startswith("rawdata") else "PV")
    if processed is None:
        numbers = sorted((p for p in folder.glob("pdata/*") if p.name.isdigit()), key=lambda p: int(p.name))
        processed = next((p for p in numbers if (p / "reco").is_file()), None)
    reco = read_parameters(processed / "reco") if processed and (processed / "reco").is_file() else None
    return ScanFiles(folder, raw, acqp, method, reco, version)


def _raw_file(folder: Path, version: str) -> Path:
    names = ("rawdata.job0", "fid") if "360" in version else ("fid", "rawdata.job0")
    for name in names:
        if (folder / name).is_file():
            if (folder / name).stat().st_size == 0:
                problem = "the file is empty: the scan was aborted before its first readout"
                raise DamagedDataError(folder / name, "file size", problem, "scan again")
            return folder / name
    raise DamagedDataError(folder / names[0], "raw file", f"there is no {names[0]} in the scan folder", _COPY_AGAIN)


def check_supported(files: ScanFiles) -> None:
    """Refuse what an inverse FFT alone would turn into a wrong image.

    Raises
    ------
    UnsupportedDataError
        For EPI, spiral and radial scans, spectroscopy, 3D and parallel imaging.
    """
    acqp, method = files.acqp, files.method
    name = method.text("Method") if "Method" in method else acqp.text("ACQ_method")
    program = acqp.text("PULPROG") if "PULPROG" in acqp else ""
    orders = files.reco.values("RECO_inp_order") if files.reco and "RECO_inp_order" in files.reco else []
    n_dims = acqp.count("ACQ_dim", at_most=9)
    if _NOT_CARTESIAN.search(name) or _NOT_CARTESIAN.search(program) or any("ALT" in order for order in orders):
        raise UnsupportedDataError(
            f"{files.folder}: method {name}: EPI, spiral and radial scans need more than an FFT (trajectory, odd/even "
            "echo phase): reconstruct it on the console"
        )
    if _NOT_IMAGING.search(name) or any("spatial" not in word.lower() for word in acqp.values("ACQ_dim_desc")):
        raise UnsupportedDataError(f"{files.folder}: method {name} is spectroscopy: only images are read")
    if n_dims != 2:
        raise UnsupportedDataError(f"{files.folder}: method {name} is {n_dims}-dimensional (ACQ_dim): only 2D is read")
    if "PVM_EncPpi" in method and np.any(method.floats("PVM_EncPpi") > 1):
        raise UnsupportedDataError(f"{files.folder}: PVM_EncPpi > 1: parallel imaging is not reconstructed")


def raw_layout(files: ScanFiles) -> RawLayout:
    """Work out the loops of the raw file and hold them against its size.

    Raises
    ------
    DamagedDataError
        If the headers contradict each other or the size of the file.
    UnsupportedDataError
        If the readouts are not Cartesian lines.
    """
    acqp, method = files.acqp, files.method
    encoded = [int(n) for n in method.integers("PVM_EncMatrix")]
    n_lines = method.integers("PVM_EncSteps1").size
    if len(encoded) != 2 or encoded[1] != n_lines or not 1 <= encoded[0] <= 65536:
        problem = f"PVM_EncMatrix {encoded} does not fit {n_lines} phase-encode steps"
        raise DamagedDataError(method.path, "PVM_EncMatrix", problem)
    train = _train_length(files, n_lines)
    if n_lines % train:
        raise DamagedDataError(method.path, "PVM_RareFactor", f"{n_lines} lines are no multiple of it ({train})")
    n_receivers = method.count("PVM_EncNReceivers", 1024) if "PVM_EncNReceivers" in method else 1
    reals, padded_words = _trace(files, n_receivers)
    if reals != 2 * encoded[0]:
        raise UnsupportedDataError(
            f"{files.folder}: a trace holds {reals} reals, a Cartesian line {2 * encoded[0]} (PVM_EncMatrix): "
            "this is no Cartesian scan of one line per trace"
        )
    layout = RawLayout(
        n_repetitions=acqp.count("NR"),
        n_segments=n_lines // train,
        n_objects=acqp.count("NI"),
        train_length=train,
        n_receivers=n_receivers,
        n_samples=encoded[0],
        block_words=padded_words,
        word=_word(files),
    )
    _check_size(files, layout)
    return layout


def _train_length(files: ScanFiles, n_lines: int) -> int:
    """Lines of one image after one excitation; ``ACQ_phase_factor`` is no guide in ParaVision 360."""
    for source, name in ((files.method, "PVM_RareFactor"), (files.acqp, "ACQ_rare_factor")):
        if name in source:
            return source.count(name, n_lines)
    return 1


def _trace(files: ScanFiles, n_receivers: int) -> tuple[int, int]:
    """Reals of one trace of one receiver, and words from one trace of all receivers to the next."""
    if files.is_360:
        reals = _imaging_job(files)
        return reals, reals * n_receivers
    reals = int(files.acqp.integers("ACQ_size")[:1].sum())
    if not 2 <= reals <= 2**24 or reals % 2:
        raise DamagedDataError(files.acqp.path, "ACQ_size", f"{reals} reals cannot be a trace of complex points")
    words = reals * n_receivers
    if files.acqp.text("GO_block_size") == "Standard_KBlock_Format":
        per_block = _BLOCK_BYTES // np.dtype(_word(files)).itemsize
        words = -(-words // per_block) * per_block
    return reals, words


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
    order = "<" if files.is_360 or files.acqp.text("BYTORDA").lower().startswith("l") else ">"
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
        f"{layout.n_lines} lines x {layout.n_receivers} receivers of {layout.n_samples} points need {layout.n_bytes}"
    )
    raise DamagedDataError(files.raw, "file size", problem, _COPY_AGAIN)


def read_samples(files: ScanFiles, layout: RawLayout, object_order: IntArray) -> ComplexArray:
    """Read the raw file and sort its objects: complex64, shape ``(repetition, object, channel, line, sample)``."""
    words = np.memmap(files.raw, dtype=layout.word, mode="r").reshape(layout.n_blocks, layout.block_words)
    used = words[:, : 2 * layout.n_samples * layout.n_receivers].reshape(
        layout.n_repetitions,
        layout.n_segments,
        layout.n_objects,
        layout.train_length,
        layout.n_receivers,
        layout.n_samples,
        2,
    )
    shape = (layout.n_repetitions, layout.n_objects, layout.n_receivers, layout.n_lines, layout.n_samples)
    kspace = np.empty(shape, np.complex64)
    for position, target in enumerate(object_order):
        one = used[:, :, position].transpose(0, 3, 1, 2, 4, 5).reshape(*shape[:1], *shape[2:], 2)
        kspace[:, target].real, kspace[:, target].imag = one[..., 0], one[..., 1]
    return kspace
