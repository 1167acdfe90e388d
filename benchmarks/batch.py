"""How fast a batch is with one process and with two, and how much memory fitting a volume in slabs takes.

Writes its own archive of simulated k-space into a temporary folder; needs the extra ``batch``.
"""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.batch import BatchOptions, run_batch
from knightshift.reconstruction.batch.cluster import open_cluster
from knightshift.reconstruction.batch.volume import fit_slab
from knightshift.reconstruction.export.images_file import (
    images_shape,
    load_slab,
    write_images_file,
    write_images_in_slabs,
)
from knightshift.reconstruction.export.volume_maps import slab_edges, turns_of_volume
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import fit_series

_ECHO_TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
_N_SCANS = 24
_VOLUME = (64, 256, 256)
_MEGABYTE = 1 << 20


def series(shape: tuple[int, int, int], seed: int) -> ImageSeries:
    """Make a box of T2 = 8 ms in noise at an SNR of 20."""
    rng = np.random.default_rng(seed)
    _, n_lines, n_read = shape
    images = 0.05 * (rng.normal(size=(5, *shape)) + 1j * rng.normal(size=(5, *shape)))
    inside = slice(n_lines // 4, -n_lines // 4), slice(n_read // 4, -n_read // 4)
    images[:, :, *inside] += np.exp(-_ECHO_TIMES / 8e-3)[:, None, None, None]
    geometry = ImageGeometry((1e-3, 23e-6, 100e-6), np.eye(3), np.zeros(3))
    return ImageSeries(images.astype(np.complex64), _ECHO_TIMES, geometry, np.full(5, 0.05))


def throughput(folder: Path) -> None:
    """Print scans per second for one worker and for two."""
    sources = []
    for number in range(_N_SCANS):
        place = folder / f"scan{number}"
        place.mkdir()
        write_images_file(series((8, 128, 128), number), place / "images.h5")
        sources.append(place)
    print(f"{_N_SCANS} scans of 5 echoes x 8 x 128 x 128")
    print(f"{'workers':>8} {'scans/s':>8} {'ratio':>6}")
    alone = 0.0
    for workers in (1, 2):
        with open_cluster(None, workers) as client:
            client.run(warm_up, str(sources[0] / "images.h5"))
            started = time.perf_counter()
            report = run_batch(client, tuple(sources), folder / f"out{workers}", BatchOptions(memory=1 << 34))
            rate = _N_SCANS / (time.perf_counter() - started)
        assert report.count("done") == _N_SCANS
        alone = alone or rate
        print(f"{workers:>8} {rate:>8.2f} {rate / alone:>6.2f}")


def warm_up(path: str) -> None:
    """Load and compile in a worker what it needs only once."""
    fit_series(load_slab(Path(path), 0, 1))


def slab_memory(folder: Path) -> None:
    """Print how much memory fitting slabs of a volume takes."""
    path = folder / "volume.h5"
    n_slices, n_lines, n_read = _VOLUME

    def slabs() -> Iterator[ImageSeries]:
        for start in range(0, n_slices, 8):
            yield series((8, n_lines, n_read), start)

    write_images_in_slabs(slabs(), n_slices, path)
    size = path.stat().st_size / _MEGABYTE
    print(f"\nvolume of {size:.0f} MB, fitted in slabs")
    print(f"{'allowed (MB)':>13} {'slices a slab':>14} {'taken (MB)':>11} {'ratio':>6}")
    options = BatchOptions().model_dump_json()
    angles = json.dumps(np.angle(turns_of_volume(path, 64 * _MEGABYTE)).tolist())
    fit_slab(str(path), 0, 1, angles, str(folder / "first.h5"), options)
    for allowed in (64, 128, 256):
        edges = slab_edges(images_shape(path), allowed * _MEGABYTE)
        tracemalloc.start()
        fit_slab(str(path), 0, edges[1], angles, str(folder / f"slab{allowed}.h5"), options)
        taken = tracemalloc.get_traced_memory()[1] / _MEGABYTE
        tracemalloc.stop()
        print(f"{allowed:>13} {edges[1]:>14} {taken:>11.0f} {taken / allowed:>6.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        throughput(Path(name))
        slab_memory(Path(name))
