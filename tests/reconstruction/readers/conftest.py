"""Small synthetic raw data of other consoles, written as the real ones are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from nmrglue.fileio.tecmag import TNTTMAG, TNTTMG2

from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers.agilent import read_agilent

DELAYS = (0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
DWELL = 1e-3


def labelled(*shape: int) -> np.ndarray:
    """Samples that say which loop they belong to: one decimal digit an axis, the outermost first."""
    digits = np.indices(shape).astype(float)
    return sum(digit * 10.0 ** (len(shape) - 1 - axis) for axis, digit in enumerate(digits)) + 0j


def line_fids(amplitudes: np.ndarray, offset: float, n_samples: int = 256, t2_star: float = 0.05) -> np.ndarray:
    """FIDs of one line, `offset` Hz from the receiver, shape ``(step, sample)``."""
    times = np.arange(n_samples) * DWELL
    return np.outer(amplitudes, np.exp((2j * np.pi * offset - 1 / t2_star) * times))


@dataclass
class TopSpin:
    """A pseudo-2D experiment of TopSpin: 500 MHz, receiver 100 Hz above zero shift, no digital filter."""

    fids: np.ndarray
    big_endian: bool = False
    doubles: bool = False
    program: str = "t1ir"
    lists: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the experiment folder."""
        folder.mkdir(parents=True, exist_ok=True)
        n_rows, n_samples = self.fids.shape
        word = np.dtype((">" if self.big_endian else "<") + ("f8" if self.doubles else "i4"))
        used = 2 * n_samples * word.itemsize
        rows = np.zeros((n_rows, -(-used // 1024) * 1024), np.uint8)
        pairs = np.stack([self.fids.real, self.fids.imag], axis=-1).reshape(n_rows, -1)
        rows[:, :used] = (pairs if self.doubles else np.rint(pairs)).astype(word).view(np.uint8)
        (folder / "ser").write_bytes(rows.tobytes())
        acqus = {
            "AQ_mod": "3", "BF1": "500", "BYTORDA": str(int(self.big_endian)), "DECIM": "1", "DIGMOD": "0",
            "DSPFVS": "0", "DTYPA": "2" if self.doubles else "0", "GRPDLY": "-1", "NUC1": "<23Na>",
            "PULPROG": f"<{self.program}>", "SFO1": "500.0001", "SW_h": str(1 / DWELL), "TD": str(2 * n_samples),
        }  # fmt: skip
        _jcamp(folder / "acqus", acqus | self.extra)
        _jcamp(folder / "acqu2s", {"TD": str(n_rows)})
        for name, text in self.lists.items():
            (folder / name).write_text(text)
        return folder


def _jcamp(path: Path, parameters: dict[str, str]) -> None:
    lines = ["##TITLE= Parameter file, TOPSPIN\t\tVersion 3.2", "##JCAMPDX= 5.0", "##DATATYPE= Parameter Values"]
    path.write_text("\n".join([*lines, *(f"##${name}= {value}" for name, value in parameters.items()), "##END=", ""]))


def write_processed(folder: Path, spectra: np.ndarray, blocks: tuple[int, int]) -> Path:
    """Write real `spectra`, falling in shift from 10 ppm by 0.01 ppm a point, as TopSpin's ``2rr`` in blocks."""
    (folder / "pdata" / "1").mkdir(parents=True, exist_ok=True)
    n_rows, n_points = spectra.shape
    down, across = blocks
    tiles = spectra.reshape(n_rows // down, down, n_points // across, across).swapaxes(1, 2)
    (folder / "pdata/1/2rr").write_bytes(np.rint(tiles).astype("<i4").tobytes())
    width = str(n_points * 0.01 * 500)
    procs = {"SI": str(n_points), "XDIM": str(across), "SF": "500", "SW_p": width, "OFFSET": "10", "BYTORDP": "0"}
    _jcamp(folder / "pdata/1/procs", procs)
    _jcamp(folder / "pdata/1/proc2s", {"SI": str(n_rows), "XDIM": str(down), "FT_mod": "0", "TDeff": str(n_rows)})
    return folder / "pdata/1"


@dataclass
class Agilent:
    """A ``.fid`` folder; `traces` has shape ``(block, trace, sample)``."""

    traces: np.ndarray
    parameters: dict[str, list[str | float]]
    word: str = ">f4"

    def write(self, folder: Path) -> Path:
        """Write ``fid`` and ``procpar``."""
        folder.mkdir(parents=True, exist_ok=True)
        n_blocks, n_traces, n_samples = self.traces.shape
        size = np.dtype(self.word).itemsize
        trace = 2 * size * n_samples
        head = np.array([n_blocks, n_traces, 2 * n_samples, size, trace, trace * n_traces + 28], ">i4").tobytes()
        status = {">f4": 0b1001, ">i4": 0b101, ">i2": 0b1}[self.word]
        content = head + np.array([0, status], ">i2").tobytes() + np.array([1], ">i4").tobytes()
        pairs = np.stack([self.traces.real, self.traces.imag], axis=-1).astype(self.word).reshape(n_blocks, -1)
        for block in pairs:
            content += bytes(28) + block.tobytes()
        (folder / "fid").write_bytes(content)
        (folder / "procpar").write_text("".join(_procpar(name, values) for name, values in self.parameters.items()))
        return folder


def _procpar(name: str, values: list[str | float]) -> str:
    kind = 2 if isinstance(values[0], str) else 1
    first = f"{name} {kind} {kind} 1e6 0 0 2 1 0 1 64\n"
    if kind == 1:
        return first + f"{len(values)} {' '.join(map(str, values))} \n0 \n"
    lines = [f'"{value}"' for value in values]
    return first + f"{len(values)} {lines[0]}\n" + "".join(f"{line}\n" for line in lines[1:]) + "0 \n"


AGILENT_IMAGE: dict[str, list[str | float]] = {
    "nv": [8], "ns": [2], "ne": [1], "seqcon": ["ncsnn"], "seqfil": ["sems"], "layout": ["sems"], "array": [""],
    "te": [0.01], "ti": [0.01], "lro": [3.2], "lpe": [1.6], "pss": [0.1, -0.1], "thk": [1], "sw": [50000],
    "sfrq": [105.84], "tn": ["Na23"], "console": ["vnmrs"],
}  # fmt: skip
"""Parameters of a small spin-echo scan, 8 lines and 2 slices."""


def set_scans(folder: Path, scans: list[int]) -> None:
    """Write into the ``fid`` of an Agilent how many scans each block holds."""
    content = bytearray((folder / "fid").read_bytes())
    block = (len(content) - 32) // len(scans)
    for index, count in enumerate(scans):
        content[32 + index * block + 8 : 32 + index * block + 12] = count.to_bytes(4, "big")
    (folder / "fid").write_bytes(bytes(content))


def read_agilent_scan(folder: Path) -> KSpaceScan:
    """Read a scan that is to be images."""
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    return scan


def write_fdf(path: Path, values: np.ndarray, header: dict[str, object], word: str = "<f4") -> Path:
    """Write one FDF image of the console, the last axis of `values` fastest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain: dict[str, object] = {
        "rank": values.ndim, "spatial_rank": f'"{values.ndim}dfov"', "storage": '"float"', "bits": 8 * int(word[2:]),
        "type": '"absval"', "matrix": list(values.shape[::-1]), "span": [4.0] * values.ndim, "te": 0.01, "ti": 0.0,
        "location": [0.0, 0.0, 0.0], "orientation": [-1, 0, 0, 0, -1, 0, 0, 0, 1], "nucleus": ['"H1"', '"H1"'],
        "sequence": '"sems"', "file": '"/home/lab/data/{s_1}.fid"',
    }  # fmt: skip
    if word[0] == "<":
        plain["bigendian"] = 0
    lines = ["#!/usr/local/fdf/startup"]
    for name, value in (plain | header).items():
        kind = "char  *" if '"' in str(value) else "float  "
        listed = isinstance(value, list)
        words = "{" + ",".join(map(str, value)) + "}" if isinstance(value, list) else str(value)
        lines.append(f"{kind}{name}{'[]' * listed} = {words};")
    text = ("\n".join([*lines, "int checksum = 1291708713;", "\f\n"])).encode()
    text += b"\n" * (-(len(text) + 1) % 4)
    path.write_bytes(text + b"\0" + np.ascontiguousarray(values, word).tobytes())
    return path


def write_tecmag(path: Path, fids: np.ndarray, tables: dict[str, str] | None = None) -> Path:
    """Write a ``.tnt`` file: FIDs ``(step, sample)`` and tables of its sequence."""
    tmag, tmg2 = np.zeros(1, TNTTMAG), np.zeros(1, TNTTMG2)
    tmag["npts"] = tmag["actual_npts"] = (fids.shape[1], fids.shape[0], 1, 1)
    tmag["ob_freq"], tmag["dwell"], tmag["actual_scans"], tmag["nuclei"] = 105.84, DWELL, 4, b"Na23"
    sequence = b""
    for name, text in (tables or {}).items():
        sequence += _pascal(name) + _pascal(text)
    sections = (
        (b"TMAG", tmag.tobytes()),
        (b"DATA", fids.astype("<c8").tobytes()),
        (b"TMG2", tmg2.tobytes()),
        (b"PSEQ", sequence),
    )
    content = b"TNT1.005"
    for tag, body in sections:
        content += tag + np.array([1, len(body)], "<u4").tobytes() + body
    path.write_bytes(content)
    return path


def _pascal(text: str) -> bytes:
    return len(text).to_bytes(4, "little") + text.encode()


def write_prospa(
    folder: Path, fids: np.ndarray, parameters: str = "", name: str = "data.2d", axis: np.ndarray | None = None
) -> Path:
    """Write FIDs ``(step, sample)`` as Prospa does (their complex conjugates), and ``acqu.par``."""
    folder.mkdir(parents=True, exist_ok=True)
    kind, first = (501, b"") if axis is None else (504, axis.astype("<f4").tobytes())
    head = b"SORPATAD1.1V" + np.array([kind, fids.shape[1], fids.shape[0], 1, 1], "<i4").tobytes()
    (folder / name).write_bytes(head + first + fids.conj().astype("<c8").tobytes())
    lines = f'b1Freq = "14.855d"\ndwellTime = {DWELL * 1e6}\nnrPnts = {fids.shape[1]}\n{parameters}'
    (folder / "acqu.par").write_text(lines)
    return folder / name


def write_prospa_plot(path: Path, traces: list[tuple[str, np.ndarray, np.ndarray]]) -> Path:
    """Write a plot: label, axis and complex values as stored of each trace."""
    content = b"SORPD1LP" + np.array([1, len(traces)], "<u2").tobytes()
    for label, axis, values in traces:
        ends = np.array([axis[0], axis[-1], values.real.min(), values.real.max()], "<f4")
        head = b"2.3V" + np.array([1, 1, 0], "<u2").tobytes() + np.array([axis.size], "<i4").tobytes() + ends.tobytes()
        content += b"7.3Vtitle".ljust(437, b"\0") + label.encode().ljust(648, b"\0")
        content += head.ljust(579, b"\0") + axis.astype("<f4").tobytes() + values.astype("<c8").tobytes()
    path.write_bytes(content)
    return path


Writer = Callable[[Path], Path]


def inversion_recovery(t1: float, scale: float = 1e6) -> np.ndarray:
    """Signal after each of `DELAYS`."""
    return scale * (1 - 1.9 * np.exp(-np.array(DELAYS) / t1))


@pytest.fixture(scope="session")
def valid_raw_data() -> dict[str, Writer]:
    """Writers of one small valid data set of every format: folder in, path to read out."""
    return valid_writers()


def valid_writers() -> dict[str, Writer]:
    """Writers of one small valid data set of every format: folder in, path to read out."""
    return {
        "topspin": _valid_topspin,
        "topspin processed": _valid_processed,
        "agilent": _valid_agilent,
        "tecmag": _valid_tecmag,
        "prospa": _valid_prospa,
        "prospa plot": _valid_prospa_plot,
        "npy": _valid_npy,
        "mat": _valid_mat,
        "mat 7.3": _valid_mat_7_3,
        "nifti": _valid_nifti,
        "fdf": _valid_fdf,
    }


def _valid_nifti(folder: Path) -> Path:
    """Write a decay of 20 ms in half of the voxels, and the noise of magnitudes in the others."""
    rng = np.random.default_rng(3)
    echo_times = np.array([0.005, 0.01, 0.02])
    signal = np.zeros((12, 12, 4, 3))
    signal[:6] = 500 * np.exp(-echo_times / 0.02)
    noise = 10 * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    image = nib.Nifti1Image(np.abs(signal + noise).astype(np.float32), np.diag([0.1, 0.1, 1.0, 1.0]))
    image.header.set_xyzt_units("mm")
    image.to_filename(folder / "series.nii.gz")
    (folder / "series.json").write_text(json.dumps({"EchoTime": list(echo_times), "ResonantNucleus": "1H"}))
    return folder / "series.nii.gz"


def _valid_fdf(folder: Path) -> Path:
    for echo in (1, 2):
        for part in (1, 2):
            header = {"echo_no": echo, "slice_no": part, "te": 0.01 * echo, "location": [0.0, 0.1, 0.2 * part]}
            write_fdf(folder / "a.img" / f"slice{part}echo{echo}.fdf", np.full((6, 4), 100.0 / echo), header)
    return folder / "a.img"


def _valid_topspin(folder: Path) -> Path:
    fids = line_fids(inversion_recovery(0.7), 40.0, 64)
    return TopSpin(fids, lists={"vdlist": "\n".join(f"{d}s" for d in DELAYS)}).write(folder / "topspin")


def _valid_processed(folder: Path) -> Path:
    experiment = _valid_topspin(folder)
    (experiment / "ser").unlink()
    write_processed(experiment, np.outer(np.array(DELAYS), np.arange(64)), (2, 16))
    return experiment


def _valid_agilent(folder: Path) -> Path:
    traces = np.random.default_rng(1).normal(size=(8, 2, 16)) + 0j
    return Agilent(traces, AGILENT_IMAGE).write(folder / "agilent.fid")


def _valid_tecmag(folder: Path) -> Path:
    table = " ".join(str(delay) for delay in DELAYS)
    return write_tecmag(folder / "a.tnt", line_fids(np.array(DELAYS), 10.0, 32), {"de1:2": table})


def _valid_prospa(folder: Path) -> Path:
    steps = 'experiment = "T1-IR"\nnrSteps = 8\nminDelay = 10\nmaxDelay = 8000\ndelaySpacing = "log"\n'
    return write_prospa(folder / "prospa", line_fids(np.array(DELAYS), 10.0, 32), steps)


def _valid_prospa_plot(folder: Path) -> Path:
    write_prospa(folder / "plot", line_fids(np.ones(1), 10.0, 32), name="acqu")
    (folder / "plot/acqu").unlink()
    times = np.linspace(0, 32 * DWELL * 1e3, 32)
    return write_prospa_plot(folder / "plot/data.pt1", [("Time (ms)", times, np.exp(-times / 9 + 0.3j * times))])


def _valid_npy(folder: Path) -> Path:
    np.save(folder / "k.npy", np.random.default_rng(1).normal(size=(8, 2, 8, 2)))
    return _describe(folder, "k.npy", "axes: [phase_encode, echo, readout, part]")


def _valid_mat(folder: Path) -> Path:
    from scipy.io import savemat

    savemat(folder / "k.mat", {"k": np.random.default_rng(1).normal(size=(8, 2, 8, 2))}, do_compression=True)
    return _describe(folder, "k.mat", "axes: [phase_encode, echo, readout, part]")


def _valid_mat_7_3(folder: Path) -> Path:
    with h5py.File(folder / "k.mat", "w", userblock_size=512) as file:
        file.create_dataset("k", data=np.random.default_rng(1).normal(size=(2, 8, 2, 8)), compression="gzip")
    content = (folder / "k.mat").read_bytes()
    (folder / "k.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + content[512:])
    return _describe(folder, "k.mat", "axes: [phase_encode, echo, readout, part]")


def _describe(folder: Path, file: str, more: str) -> Path:
    path = folder / "description.yaml"
    path.write_text(f"format: knightshift array 1\nfile: {file}\nholds: kspace\n{more}\necho_times: [1 ms, 2 ms]\n")
    return path
