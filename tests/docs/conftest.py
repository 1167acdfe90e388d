"""What command blocks may find: small protocols under the names of the long ones, a night, an archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

_SMALL: dict[str, dict[str, Any]] = {
    "overnight_t2": {"echo_times": ["4 ms", "8 ms", "13 ms"], "repetition_time": "40 ms"},
    "quick_look": {"echo_times": ["4 ms", "12 ms"], "repetition_time": "40 ms", "averages": 24},
}
"""A file in the folder is taken before a shipped name, so that the commands of the pages play these."""

Shell = Callable[[str, Path], None]


@pytest.fixture(scope="session")
def shell() -> Shell:
    """Run a script with bash, with this installation first on the path and a home of its own."""

    def run(script: str, folder: Path) -> None:
        home = folder / ".home"
        home.mkdir(exist_ok=True)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {
            "PATH": path, "HOME": str(home), "TZ": "Europe/London", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1",
            "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home), "MPLBACKEND": "Agg",
        } | {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}  # fmt: skip
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"

    return run


@pytest.fixture(scope="session")
def write_small(small_protocol: Callable[..., str]) -> Callable[[Path], None]:
    """Put the small protocols into a folder."""

    def write(folder: Path) -> None:
        for name, changes in _SMALL.items():
            (folder / name).write_text(small_protocol(name=name, **changes))

    return write


@pytest.fixture(scope="session")
def night(shell: Shell, write_small: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the small protocols, acquired once."""
    folder = tmp_path_factory.mktemp("night")
    write_small(folder)
    for name in _SMALL:
        shell(f"knightshift acquire {name} --phantom shorted --runs runs --virtual-clock --seed 1", folder)
    return folder / "runs"


@pytest.fixture(scope="session")
def givens(night: Path, shell: Shell, write_small: Callable[[Path], None]) -> dict[str, Callable[[Path], None]]:
    """What a page can ask for, each a function that puts it into the folder of the page."""

    def theirs(folder: Path) -> None:
        write_small(folder)
        shell("knightshift export-seq quick_look -o theirs.seq && mv theirs_te4ms.seq theirs.seq", folder)

    return {
        "small": write_small,
        "night": lambda folder: (write_small(folder), shutil.copytree(night, folder / "runs"))[0],
        "archive": _write_archive,
        "train": _write_train,
        "theirs": theirs,
        "tree": _link_tree,
    }


def _write_archive(folder: Path) -> None:
    """Write a ParaVision scan of two echoes, a disk that decays with 12 ms, as ``archive/mouse.Ab1/5``."""
    from synthetic_raw_data import SyntheticScan

    y, x = np.mgrid[-16:16, -16:16]
    disk = (x**2 + y**2 < 80).astype(float)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(disk)))
    noise = np.random.default_rng(1).normal(size=(2, 2, 32, 32))
    echoes = [kspace * np.exp(-te / 12) + (noise[0, n] + 1j * noise[1, n]) for n, te in enumerate((10, 20))]
    SyntheticScan(1e3 * np.array(echoes)[np.newaxis, :, np.newaxis], n_echoes=2).write(folder / "archive/mouse.Ab1/5")


def _link_tree(folder: Path) -> None:
    """Make ``examples/`` of the tree visible."""
    (folder / "examples").symlink_to(Path(__file__).resolve().parents[2] / "examples")


def _write_train(folder: Path) -> None:
    """Images of an echo train in a weak B1, and maps of its B1 and T1."""
    from knightshift.core.geometry import ImageGeometry
    from knightshift.reconstruction.export.images_file import write_images_file
    from knightshift.reconstruction.export.nifti import nifti_bytes
    from knightshift.reconstruction.images import ImageSeries
    from knightshift.reconstruction.relaxometry import EchoTrain
    from knightshift.reconstruction.relaxometry.voxel_trains import scaled_train

    train = EchoTrain(echo_spacing=10e-3, n_echoes=8, t1=1.2)
    shape, random = (1, 16, 16), np.random.default_rng(1)
    images = 0.003 * random.normal(size=(2, 8, *shape)).astype(np.float32)
    images[0, :, 0, 5:11, 5:11] += scaled_train(train, 0.8).decays(np.array([60e-3]))[:, :, None]
    geometry = ImageGeometry((1e-3, 1e-4, 1e-4), np.eye(3), np.zeros(3))
    series = ImageSeries(images[0] + 1j * images[1], train.echo_times, geometry, np.full(8, 0.003), nucleus="1H")
    for name in ("train", "t1"):
        (folder / name).mkdir()
    write_images_file(series, folder / "train/images.h5")
    (folder / "b1.nii.gz").write_bytes(nifti_bytes(np.full(shape, 0.8), geometry))
    (folder / "t1/t1_map.nii.gz").write_bytes(nifti_bytes(np.full(shape, 1.2), geometry))
