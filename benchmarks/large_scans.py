"""Large scans of our own making, in the layouts of ParaVision 6 and Agilent, and runs of ours: few lines in noise.

Files are written plane by plane, so that writing takes no memory either.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.journal import JournalEvent, encode_event
from knightshift.core.manifest import Manifest, ProgramEntry, RunSetup, ScannerIdentity
from knightshift.core.pass_file import PassFile, decode_pass, encode_pass, pass_file_name
from knightshift.core.passes import COUNTERS, PassRecord
from knightshift.core.program import Encoding
from knightshift.core.run_folder import JOURNAL, MANIFEST, PASSES


@dataclass(frozen=True)
class ScanSize:
    """Counts along the axes of a scan."""

    n_slices: int
    """Slices, or partitions of a 3D scan."""
    n_lines: int
    n_samples: int
    n_echoes: int = 1
    n_receivers: int = 1
    is_3d: bool = False

    @property
    def n_bytes(self) -> int:
        """Raw samples, and as much of k-space in complex64."""
        return 8 * self.n_slices * self.n_lines * self.n_samples * self.n_echoes * self.n_receivers


def _traces(size: ScanSize, outer: int) -> Iterator[np.ndarray]:
    """Pairs of int32 for each of `outer` planes, shape ``(line, echo, receiver, sample, 2)``: signal about k = 0."""
    rng = np.random.default_rng(0)
    shape = size.n_lines, size.n_echoes, size.n_receivers, size.n_samples, 2
    lines, samples = (np.arange(n) - n // 2 for n in (size.n_lines, size.n_samples))
    bump = np.exp(-((lines[:, None] / 6) ** 2) - (samples / 6) ** 2)
    decay = np.exp(-np.arange(1, size.n_echoes + 1) / 2)
    signal = 1e6 * bump[:, None, None, :] * decay[:, None, None] * np.ones((size.n_receivers, 1))
    for plane in range(outer):
        height = np.exp(-(((plane - outer // 2) / 6) ** 2)) if size.is_3d else 1.0
        pairs = 300 * rng.standard_normal(shape, np.float32)
        pairs[..., 0] += height * signal
        yield np.rint(pairs).astype(np.int32)


def write_paravision(folder: Path, size: ScanSize) -> Path:
    """Write acqp, method and fid; slices within the lines, or partitions outside them."""
    folder.mkdir()
    n = (size.n_samples, size.n_lines, size.n_slices)[: 3 if size.is_3d else 2]
    matrix, n_objects = f"( {len(n)} )\n{' '.join(map(str, n))}", size.n_echoes * (1 if size.is_3d else size.n_slices)
    n_slabs = 1 if size.is_3d else size.n_slices
    echo_times = " ".join(str(10 * (echo + 1)) for echo in range(size.n_echoes))
    acqp = {
        "ACQ_sw_version": "<PV 6.0.1>", "ACQ_dim": str(len(n)), "ACQ_dim_desc": f"( {len(n)} )\n{'Spatial ' * len(n)}",
        "ACQ_size": f"( {len(n)} )\n{' '.join(map(str, (2 * n[0], *n[1:])))}", "NI": str(n_objects), "NR": "1",
        "NSLICES": str(n_slabs), "ACQ_n_echo_images": str(size.n_echoes), "BYTORDA": "little",
        "GO_block_size": "continuous", "ACQ_echo_time": f"( {size.n_echoes} )\n{echo_times}",
        "ACQ_slice_offset": f"( {n_slabs} )\n{' '.join(str(0.2 * index) for index in range(n_slabs))}",
        "ACQ_slice_thick": "0.2", "NUCLEUS": "<1H>", "SFO1": "400.1",
    }  # fmt: skip
    method = {
        "Method": "<Bruker:MSME>", "PVM_Matrix": matrix, "PVM_EncMatrix": matrix, "PVM_EncNReceivers":
        str(size.n_receivers), "PVM_Fov": f"( {len(n)} )\n{'20 ' * len(n)}", "PVM_SPackArrNSlices": f"( 1 )\n{n_slabs}",
        "PVM_SPackArrGradOrient": "( 1, 3, 3 )\n1 0 0 0 1 0 0 0 1", "PVM_SPackArrSliceDistance": "( 1 )\n0.2",
    }  # fmt: skip
    for axis in range(1, len(n)):
        steps = " ".join(str(step - n[axis] // 2) for step in range(n[axis]))
        method[f"PVM_EncSteps{axis}"] = f"( {n[axis]} )\n{steps}"
    for name, parameters in (("acqp", acqp), ("method", method)):
        lines = [f"##${label}={value}" for label, value in parameters.items()]
        (folder / name).write_text("\n".join(["##TITLE=Parameter List", *lines, "##END=", ""]))
    with (folder / "fid").open("wb") as file:
        line_bytes = 8 * size.n_echoes * size.n_receivers * size.n_samples
        file.truncate(size.n_bytes)
        for number, plane in enumerate(_traces(size, size.n_slices)):
            if size.is_3d:
                file.write(plane.astype("<i4").tobytes())
                continue
            for index, line in enumerate(plane):
                file.seek((index * size.n_slices + number) * line_bytes)
                file.write(line.astype("<i4").tobytes())
    return folder


def write_agilent(folder: Path, size: ScanSize) -> Path:
    """Write procpar and fid of a 3D scan: a block for each partition and receiver, its traces lines and echoes."""
    folder.mkdir()
    n_traces = size.n_lines * size.n_echoes
    n_blocks, n_reals = size.n_slices * size.n_receivers, 2 * size.n_samples
    numbers = {
        "nv": size.n_lines, "nv2": size.n_slices, "np": n_reals, "ne": size.n_echoes, "sw": 1e5, "sfrq": 400.0,
        "lro": 2.0, "lpe": 2.0, "lpe2": 2.0, "pro": 0.0, "ppe": 0.0, "ppe2": 0.0, "thk": 20.0, "pss": 0.0, "te": 0.01,
        "psi": 0.0, "phi": 0.0, "theta": 0.0,
    }  # fmt: skip
    words = {"seqfil": "mge3d", "seqcon": "cccsn", "rcvrs": "y" * size.n_receivers,
             "tn": "H1", "console": "vnmrs"}  # fmt: skip
    content = [f"{name} 1 1 1e9 -1e9 0 2 1 0 1 64\n1 {value}\n0 \n" for name, value in numbers.items()]
    content += [f'{name} 2 2 0 0 0 2 1 0 1 64\n1 "{value}"\n0 \n' for name, value in words.items()]
    times = " ".join(str(10.0 * (echo + 1)) for echo in range(size.n_echoes))
    content.append(f"TE 1 1 1e9 -1e9 0 2 1 0 1 64\n{size.n_echoes} {times}\n0 \n")
    (folder / "procpar").write_text("".join(content))
    block = 28 + 4 * n_traces * n_reals
    header = struct.pack(">6i2hi", n_blocks, n_traces, n_reals, 4, 4 * n_reals, block, 0, 0b100 | 1, 1)
    with (folder / "fid").open("wb") as file:
        file.write(header)
        for plane in _traces(size, size.n_slices):
            for receiver in range(size.n_receivers):
                file.write(struct.pack(">4hi4f", 0, 1, 0, 0, 1, 0, 0, 0, 0))
                file.write(plane[:, :, receiver].astype(">i4").tobytes())
    return folder


def write_run(folder: Path, size: ScanSize, n_passes: int) -> Path:
    """Write a run of ours with one echo a pass: manifest, journal and pass files."""
    (folder / PASSES).mkdir(parents=True)
    encoding = Encoding(
        kind="image", echo_times=tuple(5e-3 * (echo + 1) for echo in range(size.n_echoes)),
        matrix=(1, size.n_lines, size.n_samples), field_of_view=(2e-3, 2e-2, 2e-2), axes=("x", "z", "y"),
        samples=size.n_samples, center_sample=size.n_samples // 2, dwell_time=8e-6, phase_cycle=1,
        n_steps=size.n_echoes, repetition_time=0.12,
    )  # fmt: skip
    entry = ProgramEntry(
        name="large", digest="0" * 64, nucleus="23Na", gyromagnetic_ratio=11.262e6, b0=9.4, working_frequency=105.98e6,
        duration=24.0, n_readouts=size.n_lines, samples=size.n_samples,
    )  # fmt: skip
    manifest = Manifest(
        run_id="large", created="2026-11-22T20:00:00Z", protocol={}, encoding=encoding, n_passes=n_passes,
        programs=(entry,), setup=RunSetup(), versions={},
        scanner=ScannerIdentity(backend="none", device="none", version="0"),
    )  # fmt: skip
    content = manifest.model_dump_json().encode()
    (folder / MANIFEST).write_bytes(content)
    line, crc = encode_event(_event(0, "created", manifest_sha256=hashlib.sha256(content).hexdigest()), 0)
    with (folder / JOURNAL).open("wb") as journal:
        journal.write(line)
        for index, plane in enumerate(_traces(size, n_passes)):
            pairs = plane[:, index % size.n_echoes].astype(np.float32)
            line, crc = encode_event(_committed(folder, index, size, pairs.view(np.complex64)[..., 0]), crc)
            journal.write(line)
    return folder


def _committed(folder: Path, index: int, size: ScanSize, samples: np.ndarray) -> JournalEvent:
    """Write one pass, and tell it for the journal."""
    counters = np.zeros(size.n_lines, COUNTERS)
    counters["kspace_encode_step_1"] = np.arange(size.n_lines)
    counters["contrast"], counters["average"] = index % size.n_echoes, index
    record = PassRecord(index, 0, 24.0 * index, 24.0 * index + 24.0, 105.98e6, 0.0, samples, counters)
    encoded = encode_pass(PassFile(record, "large", "0" * 64))
    path = folder / PASSES / pass_file_name(index)
    path.write_bytes(encoded)
    return _event(
        index + 1, "committed", **{"pass": index}, sha256=decode_pass(encoded, path).sha256, epoch=0,
        started_s=record.started, finished_s=record.finished, frequency_Hz=record.frequency, flags=[],
    )  # fmt: skip


def _event(number: int, name: str, **payload: object) -> JournalEvent:
    return JournalEvent(number, "2026-11-22T20:00:00Z", name, payload)
