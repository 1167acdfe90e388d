"""A long campaign of spoiled ParaVision scans and images files; run with ``-m slow``."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import KnightshiftError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export import load_images, save_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import reconstruct

INPUTS = int(os.environ.get("KNIGHTSHIFT_FUZZ_INPUTS", "5000"))
SECONDS_ALLOWED = 3.0
TOKENS = [b"9" * 12, b"-1", b"nan", b"1e308", b"@9999999*(1)", b"@999999999*(@9*(1))", b"( 99999999 )", b"<", b"##$",
          b"\x00", b"\xff\xfe", b"\n##END=\n", b"0", b"(", b")", b"##$NI=0\n", b"1000000000000"]  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Insert, delete, flip, repeat or cut, once to three times."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[place:place] = rng.choice(TOKENS)
        elif kind == 1:
            data[place : place + rng.randint(1, 30)] = b""
        elif kind == 2 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[place : place + rng.randint(1, 12)] = rng.choice(TOKENS)
        elif rng.random() < 0.2:
            del data[place:]
    return bytes(data)


def scans(synthetic_scan: Any, folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    multi_echo = rng.integers(-99, 99, (2, 4, 2, 8, 8)) + 1j
    rare = rng.integers(-99, 99, (1, 2, 1, 8, 8)) + 1j
    job = rng.integers(-99, 99, (1, 1, 1, 8, 8)) + 1j
    paths = [
        synthetic_scan(multi_echo, n_echoes=2, big_endian=True).write(folder / "multi"),
        synthetic_scan(rare, rare_factor=4, method={"PVM_EncPft": "( 2 )\n1.6 1", "PVM_EncPftAlgorithm": "Pocs"},
                       reco={"RECO_ft_size": "( 2 )\n16 16", "RECO_size": "( 2 )\n16 16"}).write(folder / "rare"),
        synthetic_scan(job, acqp={"ACQ_sw_version": "<PV-360.3.6>", "GO_block_size": "continuous",
                                  "ACQ_jobs": "( 1 )\n(16, 1, 0, 8, 101, 5e4, 8, 1, <job0>)"}).write(folder / "job"),
    ]  # fmt: skip
    raw = (paths[-1] / "fid").read_bytes()
    (paths[-1] / "rawdata.job0").write_bytes(b"".join(raw[i : i + 64] for i in range(0, len(raw), 1024)))
    (paths[-1] / "fid").unlink()
    for path in paths:
        reconstruct(path)  # each is good before it is spoiled
    return paths


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_spoiled_scan_crashes_hangs_or_eats_memory(synthetic_scan: Any, tmp_path: Path) -> None:
    rng = random.Random(0)
    paths = scans(synthetic_scan, tmp_path)
    refused = 0
    for _ in range(INPUTS):
        scan = rng.choice(paths)
        files = [file for file in scan.rglob("*") if file.is_file()]
        file = rng.choice(files)
        original = file.read_bytes()
        file.write_bytes(mutated(original, rng))
        start = time.perf_counter()
        try:
            assert reconstruct(scan).images.size < 1e7
        except KnightshiftError:
            refused += 1
        finally:
            file.write_bytes(original)
        assert time.perf_counter() - start < SECONDS_ALLOWED
    assert 0.2 * INPUTS < refused < INPUTS


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_spoiled_images_file_crashes_or_hangs(tmp_path: Path) -> None:
    geometry = ImageGeometry((1e-3, 1e-3, 1e-3), np.eye(3), np.zeros(3))
    series = ImageSeries(np.ones((2, 1, 4, 4), np.complex64), np.array([1e-3, 2e-3]), geometry, np.ones(2))
    save_images(series, tmp_path, figures=False)
    path = tmp_path / "images.h5"
    original = path.read_bytes()
    rng = random.Random(1)
    refused = 0
    for _ in range(INPUTS):
        path.write_bytes(mutated(original, rng))
        start = time.perf_counter()
        try:
            load_images(path)
        except KnightshiftError:
            refused += 1
        assert time.perf_counter() - start < SECONDS_ALLOWED
    assert 0.2 * INPUTS < refused < INPUTS
