"""Small archives: runs and scans of another console, some of them broken in every way that we know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_run(synthetic_run: Any, small_encoding: Any) -> Callable[[Path, int], Path]:
    """Write a run of four passes: one bright line of T2 = 8 ms, noise by its number."""

    def write(folder: Path, number: int) -> Path:
        rng = np.random.default_rng(number)
        image = np.zeros((8, 16))
        image[3] = 1.0
        kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))
        passes = {
            index: kspace * np.exp(-(4e-3, 8e-3)[index % 2] / 8e-3)
            + 0.1 * (rng.normal(size=(8, 16)) + 1j * rng.normal(size=(8, 16)))
            for index in range(4)
        }
        synthetic_run(small_encoding, passes).write(folder)
        return folder

    return write


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


BREAKS: dict[str, Callable[[Path], None]] = {
    "altered pass": lambda run: _flip(run / "passes/p000001.h5"),
    "short pass": lambda run: (run / "passes/p000002.h5").write_bytes((run / "passes/p000002.h5").read_bytes()[:900]),
    "missing pass": lambda run: (run / "passes/p000003.h5").unlink(),
    "altered manifest": lambda run: _flip(run / "manifest.json"),
    "no manifest": lambda run: (run / "manifest.json").unlink(),
    "manifest of no run": lambda run: (run / "manifest.json").write_text("{}"),
    "no journal": lambda run: (run / "journal.jsonl").unlink(),
    "altered journal": lambda run: _flip(run / "journal.jsonl"),
}
"""What can happen to a run on disk."""


@pytest.fixture(scope="session")
def break_run() -> dict[str, Callable[[Path], None]]:
    return BREAKS


@pytest.fixture(scope="session")
def write_broken_scan(synthetic_scan: Any) -> Callable[[Path, str], Path]:
    """Write a ParaVision scan without its method file, or with half its samples."""

    def write(folder: Path, how: str) -> Path:
        rng = np.random.default_rng(1)
        scan = synthetic_scan(rng.normal(size=(1, 2, 1, 8, 16)) * 1e4, n_echoes=2).write(folder)
        if how == "no method":
            (scan / "method").unlink()
        else:
            (scan / "fid").write_bytes((scan / "fid").read_bytes()[:1000])
        return scan

    return write
