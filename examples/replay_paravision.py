"""Play a ParaVision scan through `acquire` as if a scanner measured it now, and reconstruct the run.

::

    python examples/replay_paravision.py SCAN_FOLDER OUTPUT_FOLDER

writes ``OUTPUT_FOLDER/recording`` (what the backend ``replay`` plays) and a run below ``OUTPUT_FOLDER/runs``, on which
every command of knightshift works. Readers may be used here, which the scanner room must not know.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.acquisition import acquire
from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import UnsupportedDataError
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.nuclei import nucleus_named
from knightshift.core.passes import COUNTERS
from knightshift.core.yaml_files import as_plain, read_config
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.replay import RecordingDescription, open_recording, write_kspace_recording
from knightshift.hardware.site import SiteConfig
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers import read_raw


def export(scan: KSpaceScan, folder: Path, repetition_time: float = 0.1) -> RecordingDescription:
    """Write a Cartesian scan as a recording; its repetitions become passes.

    Parameters
    ----------
    scan
        What a reader returned.
    folder
        A new folder.
    repetition_time
        In this time [s] the echoes of one line are played; readers do not know the true one.

    Raises
    ------
    UnsupportedDataError
        If lines of the grid were not acquired, or nucleus, frequency or dwell time are not known.
    """
    n_lines = scan.kspace.shape[4]
    if not n_lines == scan.grid[0] == scan.matrix[0]:
        raise UnsupportedDataError(
            f"{scan.source}: {n_lines} lines of a grid of {scan.grid[0]}, {scan.matrix[0]} of them kept: a run of "
            "knightshift has every line"
        )
    if scan.nucleus is None or scan.working_frequency is None or scan.dwell_time is None:
        raise UnsupportedDataError(f"{scan.source}: nucleus, frequency or dwell time are not known")
    description = RecordingDescription(
        name=scan.source.parent.name,
        device=scan.format,
        nucleus=scan.nucleus,
        b0=scan.working_frequency / nucleus_named(scan.nucleus).gyromagnetic_ratio,
        working_frequency=scan.working_frequency,
        repetition_time=repetition_time,
        dwell_time=scan.dwell_time,
        echo_times=tuple(scan.echo_times.tolist()),
        matrix=(scan.kspace.shape[2], *scan.matrix),
        field_of_view=_field_of_view(scan),
        center_sample=scan.center_sample,
    )
    samples, counters = as_readouts(scan)
    write_kspace_recording(folder, description, samples / np.abs(samples.view(np.float32)).max(), counters)
    return description


def _field_of_view(scan: KSpaceScan) -> tuple[float, float, float]:
    thickness, down, across = scan.slice_geometries[0].voxel_size
    return scan.kspace.shape[2] * thickness, scan.matrix[0] * down, scan.matrix[1] * across


def as_readouts(scan: KSpaceScan) -> tuple[ComplexArray, IntArray]:
    """Lay k-space out as readouts ``(readout, channel, sample)`` with their counters, pass after pass.

    The console shifts its images by some voxels; here k-space gets the phase that does the same.
    """
    n_passes, n_echoes, n_slices, _, n_lines, _ = scan.kspace.shape
    along_samples = np.arange(scan.kspace.shape[5]) - scan.center_sample
    turns = np.multiply.outer(scan.shifts[:, 0], scan.line_steps / scan.grid[0])[:, :, np.newaxis]
    turns = turns + np.multiply.outer(scan.shifts[:, 1], along_samples / scan.grid[1])[:, np.newaxis, :]
    shifted = np.asarray(scan.kspace) * np.exp(-2j * np.pi * turns)[:, np.newaxis]
    # (repetition, echo, slice, channel, line, sample) to (repetition, line, slice, echo, channel, sample)
    ordered = shifted.transpose(0, 4, 2, 1, 3, 5).astype(np.complex64)
    counters: NDArray[Any] = np.zeros(ordered.shape[:4], COUNTERS)
    counters["average"] = np.arange(n_passes)[:, np.newaxis, np.newaxis, np.newaxis]
    counters["kspace_encode_step_1"] = (scan.line_steps + n_lines // 2)[:, np.newaxis, np.newaxis]
    counters["slice"] = np.arange(n_slices)[:, np.newaxis]
    counters["contrast"] = np.arange(n_echoes)
    return np.ascontiguousarray(ordered.reshape(-1, *ordered.shape[4:])), counters.ravel()


def replay(recording: Path, runs: Path) -> Path:
    """Acquire a recording into a new run, on a virtual clock; returns the run folder."""
    measurement, clock = open_recording(recording).measurement(), VirtualClock()
    limits: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    limits = limits.model_copy(update={"name": "console of the recording", "b0": measurement.programs[0].b0})
    site = SiteConfig(backend="replay", limits=limits, settings={"recording": str(recording)})
    setup = RunSetup(clock="virtual", site=as_plain(site), limits=as_plain(limits))
    return acquire(measurement, open_scanner(site, clock=clock), runs, setup=setup, clock=clock).path


def main() -> None:
    """Export, replay, say where the run is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, help="a ParaVision scan folder")
    parser.add_argument("output", type=Path, help="a folder for the recording and the run")
    arguments = parser.parse_args()
    recording, scan = arguments.output / "recording", read_raw(arguments.scan)
    if not isinstance(scan, KSpaceScan):
        raise UnsupportedDataError(f"{arguments.scan}: this is no Cartesian k-space of images")
    export(scan, recording)
    print(f"to see the images: knightshift reconstruct {replay(recording, arguments.output / 'runs')}")


if __name__ == "__main__":
    main()
