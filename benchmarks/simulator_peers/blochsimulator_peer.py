"""blochsimulator on the benchmark's files: ``python blochsimulator_peer.py FOLDER`` (scratch environment)."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from blochsimulator import BlochSimulator, load_pulseq
from blochsimulator.phantom import Phantom

folder = Path(sys.argv[1])
maps = np.load(folder / "maps.npz")
size = maps["voxel_size"]
shape = maps["density"].shape
affine = np.diag([*size, 1.0])
affine[:3, 3] = [-(n // 2) * d for n, d in zip(shape, size, strict=True)]
phantom = Phantom(
    shape=shape,
    fov=tuple(float(n * d) for n, d in zip(shape, size, strict=True)),
    t1_map=maps["t1"],
    t2_map=maps["t2"],
    pd_map=maps["density"],
    df_map=np.zeros(shape),
    affine_ijk_to_xyz_m=affine,
)
began, busy_from = time.perf_counter(), time.process_time()
program = load_pulseq(folder / "pass.seq")
simulator = BlochSimulator(use_parallel=True, num_threads=2)
result = simulator.simulate_sequence(program, phantom, spoiler_mode="gradient")
seconds, busy = time.perf_counter() - began, time.process_time() - busy_from
np.save(folder / "blochsimulator.npy", np.asarray(result.signal).reshape(-1))
print(json.dumps([seconds, busy]))
