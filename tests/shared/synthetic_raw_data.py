"""Small synthetic raw data: ParaVision scans and run folders, written as the real ones are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.core.journal import JournalEvent, encode_event
from knightshift.core.manifest import Manifest, ProgramEntry, RunSetup, ScannerIdentity
from knightshift.core.pass_file import PassFile, decode_pass, encode_pass, pass_file_name
from knightshift.core.passes import COUNTERS, PassRecord
from knightshift.core.program import Encoding
from knightshift.core.run_folder import JOURNAL, MANIFEST, PASSES, Run, open_run


@dataclass
class SyntheticScan:
    """A ParaVision 6 scan: k-space of shape ``(repetition, object, channel, line, sample)`` and header overrides."""

    kspace: np.ndarray
    n_echoes: int = 1
    rare_factor: int = 1
    steps: Sequence[int] | None = None
    object_order: Sequence[int] | None = None
    big_endian: bool = False
    acqp: dict[str, str] = field(default_factory=dict)
    method: dict[str, str] = field(default_factory=dict)
    reco: dict[str, str] | None = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write acqp, method, fid and pdata/1/reco."""
        folder.mkdir(parents=True, exist_ok=True)
        _, n_objects, _, n_lines, n_samples = self.kspace.shape
        order = list(self.object_order or range(n_objects))
        (folder / "fid").write_bytes(self._fid(order))
        (folder / "acqp").write_text(_jcamp(self._acqp(order) | self.acqp))
        (folder / "method").write_text(_jcamp(self._method() | self.method))
        if self.reco is not None:
            (folder / "pdata" / "1").mkdir(parents=True, exist_ok=True)
            size = f"( 2 )\n{n_samples} {n_lines}"
            rotate = " ".join(["0.5"] * 2 * n_objects)
            reco = {
                "RECO_ft_size": size,
                "RECO_size": size,
                "RECO_inp_order": "NO_REORDERING",
                "RECO_qopts": "( 2 )\nNO_QOPTS NO_QOPTS",
                "RECO_rotate": f"( 2, {n_objects} )\n{rotate}",
                "RECO_transposition": f"( {n_objects} )\n@{n_objects}*(0)",
            }
            (folder / "pdata" / "1" / "reco").write_text(_jcamp(reco | self.reco))
        return folder

    def _fid(self, order: list[int]) -> bytes:
        n_rep, n_objects, n_channels, n_lines, n_samples = self.kspace.shape
        n_segments = n_lines // self.rare_factor
        words = 2 * n_samples * n_channels
        padded = -(-words // 256) * 256
        word = ">i4" if self.big_endian else "<i4"
        traces = np.full((n_rep, n_segments, n_objects, self.rare_factor, padded), 77, word)
        for position, target in enumerate(order):
            lines = self.kspace[:, target].reshape(n_rep, n_channels, n_segments, self.rare_factor, n_samples)
            pairs = np.stack([lines.real, lines.imag], axis=-1).transpose(0, 2, 3, 1, 4, 5)
            traces[:, :, position, :, :words] = np.rint(pairs).reshape(n_rep, n_segments, self.rare_factor, words)
        return traces.tobytes()

    def _acqp(self, order: list[int]) -> dict[str, str]:
        n_rep, n_objects, _, n_lines, n_samples = self.kspace.shape
        n_slices = n_objects // self.n_echoes
        return {
            "ACQ_sw_version": "( 65 )\n<PV 6.0.1>",
            "PULPROG": "( 32 )\n<MSME.ppg>",
            "ACQ_dim": "2",
            "ACQ_dim_desc": "( 2 )\nSpatial Spatial",
            "ACQ_size": f"( 2 )\n{2 * n_samples} {n_lines}",
            "NI": str(n_objects),
            "NR": str(n_rep),
            "NSLICES": str(n_slices),
            "ACQ_n_echo_images": str(self.n_echoes),
            "ACQ_obj_order": f"( {n_objects} )\n{' '.join(map(str, order))}",
            "ACQ_rare_factor": str(self.rare_factor),
            "BYTORDA": "big" if self.big_endian else "little",
            "GO_block_size": "Standard_KBlock_Format",
            "GO_raw_data_format": "GO_32BIT_SGN_INT",
            "ACQ_echo_time": f"( {self.n_echoes} )\n{' '.join(str(10 * (i + 1)) for i in range(self.n_echoes))}",
            "ACQ_slice_offset": f"( {n_slices} )\n{' '.join(str(2.0 * i) for i in range(n_slices))}",
            "ACQ_slice_thick": "1",
            "NUCLEUS": "( 8 )\n<23Na>",
            "SFO1": "105.84",
        }

    def _method(self) -> dict[str, str]:
        _, n_objects, n_channels, n_lines, n_samples = self.kspace.shape
        steps = self.steps or range(-(n_lines // 2), n_lines - n_lines // 2)
        n_slices = n_objects // self.n_echoes
        return {
            "Method": "<Bruker:MSME>",
            "PVM_Matrix": f"( 2 )\n{n_samples} {n_lines}",
            "PVM_EncMatrix": f"( 2 )\n{n_samples} {n_lines}",
            "PVM_EncSteps1": f"( {n_lines} )\n{' '.join(map(str, steps))}",
            "PVM_EncNReceivers": str(n_channels),
            "PVM_Fov": f"( 2 )\n{n_samples} {0.5 * n_lines}",
            "PVM_EffSWh": "50000",
            "PVM_SPackArrNSlices": f"( 1 )\n{n_slices}",
            "PVM_SPackArrGradOrient": "( 1, 3, 3 )\n1 0 0 0 1 0 0 0 1",
            "PVM_SPackArrReadOffset": "( 1 )\n0",
            "PVM_SPackArrPhase1Offset": "( 1 )\n0",
            "PVM_SPackArrSliceDistance": "( 1 )\n2",
        }


def _jcamp(parameters: dict[str, str]) -> str:
    lines = [f"##${name}={value}" for name, value in parameters.items()]
    return "\n".join(["##TITLE=Parameter List", "##DATATYPE=Parameter Values", *lines, "##END=", ""])


@dataclass
class SyntheticRun:
    """A run folder: one pass for each entry of `passes` (k-space of one echo), in the order given."""

    encoding: Encoding
    passes: dict[int, np.ndarray]
    flags: dict[int, tuple[str, ...]] = field(default_factory=dict)
    frequencies: dict[int, float] = field(default_factory=dict)
    gains: dict[int, float] = field(default_factory=dict)
    counters: Callable[[Any], None] | None = None

    def write(self, folder: Path) -> Run:
        """Write manifest, journal and pass files; `passes` in its own order, which is that of commitment."""
        (folder / PASSES).mkdir(parents=True)
        n_lines = self.encoding.matrix[1] if self.encoding.kind == "image" else 1
        entry = ProgramEntry(
            name="synthetic", digest="0" * 64, nucleus="23Na", gyromagnetic_ratio=11.262e6, b0=9.4,
            working_frequency=105.98e6, duration=24.0, n_readouts=n_lines * self.encoding.phase_cycle,
            samples=self.encoding.samples,
        )  # fmt: skip
        manifest = Manifest(
            run_id="synthetic", created="2026-11-22T20:00:00Z", protocol={}, encoding=self.encoding,
            n_passes=max(self.passes) + 1, programs=(entry,), setup=RunSetup(), versions={},
            scanner=ScannerIdentity(backend="none", device="none", version="0"),
        )  # fmt: skip
        content = manifest.model_dump_json().encode()
        (folder / MANIFEST).write_bytes(content)
        events: list[tuple[str, dict[str, Any]]] = [
            ("created", {"manifest_sha256": hashlib.sha256(content).hexdigest()})
        ]
        for index, kspace in self.passes.items():
            record = self._record(index, kspace)
            encoded = encode_pass(PassFile(record, "synthetic", "0" * 64))
            path = folder / PASSES / pass_file_name(index)
            path.write_bytes(encoded)
            events.append(("committed", {
                "pass": index, "sha256": decode_pass(encoded, path).sha256, "epoch": record.epoch,
                "started_s": record.started, "finished_s": record.finished, "frequency_Hz": record.frequency,
                "flags": list(record.flags),
            }))  # fmt: skip
        (folder / JOURNAL).write_bytes(_journal(events))
        return open_run(folder)

    def _record(self, index: int, kspace: np.ndarray) -> PassRecord:
        """One pass of the echo ``index % n_echoes``; `kspace` has shape ``(line, sample)``."""
        cycle = self.encoding.phase_cycle
        counters = np.zeros(len(kspace) * cycle, COUNTERS)
        if self.encoding.kind == "image":
            counters["kspace_encode_step_1"] = np.repeat(np.arange(len(kspace)), cycle)
        counters["set"] = np.tile(np.arange(cycle), len(kspace))
        counters["contrast"] = index % len(self.encoding.echo_times)
        counters["average"] = index
        if self.counters:
            self.counters(counters)
        samples = np.repeat(kspace, cycle, axis=0)[:, np.newaxis].astype(np.complex64)
        return PassRecord(
            index=index, epoch=0, started=24.0 * index, finished=24.0 * index + 24.0,
            frequency=self.frequencies.get(index, 105.98e6), receiver_gain=self.gains.get(index, 0.0),
            samples=samples, counters=counters, flags=self.flags.get(index, ()),
        )  # fmt: skip


def _journal(events: list[tuple[str, dict[str, Any]]]) -> bytes:
    lines, crc = [], 0
    for number, (name, payload) in enumerate(events):
        line, crc = encode_event(JournalEvent(number, "2026-11-22T20:00:00Z", name, payload), crc)
        lines.append(line)
    return b"".join(lines)


def small_encoding() -> Encoding:
    """Two echoes, 8 voxels of 23 um along z and 8 of 100 um along y, twofold oversampled readout."""
    return Encoding(
        kind="image", echo_times=(4e-3, 8e-3), matrix=(1, 8, 8), field_of_view=(2e-3, 8 * 23e-6, 8 * 100e-6),
        axes=("x", "z", "y"), samples=16, center_sample=8, dwell_time=8e-6, phase_cycle=2, n_steps=2,
        repetition_time=0.12,
    )  # fmt: skip
