"""K-space larger than the memory allowed, from file to file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError
from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.streaming import transform_file


def noise(shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize(("shape", "n_axes"), [((3, 5, 16, 12), 2), ((4, 8, 8, 8), 3), ((16, 16), 2)])
def test_streamed_images_are_those_made_in_memory(tmp_path: Path, shape: tuple[int, ...], n_axes: int) -> None:
    kspace = noise(shape)
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["kspace"] = kspace
    assert transform_file(tmp_path / "k.h5", tmp_path / "i.h5", n_axes=n_axes, memory=4000) == shape
    with h5py.File(tmp_path / "i.h5") as file:
        np.testing.assert_allclose(file["images"][...], centered_ifft(kspace, n_axes=n_axes), atol=1e-6)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_memory_stays_at_what_is_allowed(tmp_path: Path, n_axes: int) -> None:
    kspace = noise((64, 128, 128))
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["kspace"] = kspace
    tracemalloc.start()
    transform_file(tmp_path / "k.h5", tmp_path / "i.h5", n_axes=n_axes, memory=4 * 128 * 128 * 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * kspace.nbytes


def test_what_cannot_be_streamed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "real.h5", "w") as file:
        file["kspace"] = np.zeros((2, 8, 8))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink(str(tmp_path / "real.h5"), "kspace")
    with h5py.File(tmp_path / "claim.h5", "w") as file:
        file.create_dataset("kspace", (10**6, 10**3, 10**3), np.complex64, chunks=(1, 100, 100))
    for name in ("text.h5", "real.h5", "link.h5", "claim.h5"):
        with pytest.raises(DamagedDataError, match=name):
            transform_file(tmp_path / name, tmp_path / "out.h5", n_axes=2)
        assert not (tmp_path / "out.h5").exists()
    with pytest.raises(InputError, match="no such"):
        transform_file(tmp_path / "none.h5", tmp_path / "out.h5", n_axes=2)
    with pytest.raises(InputError, match="exists"):
        transform_file(tmp_path / "real.h5", tmp_path / "text.h5", n_axes=2)
