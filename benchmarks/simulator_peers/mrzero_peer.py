"""MRzeroCore on the benchmark's files: ``python mrzero_peer.py FOLDER METHOD`` (run in the scratch environment).

METHOD is ``isochromats`` (its Bloch simulation, one spin at every isochromat's position) or ``pdg`` (phase distribution
graphs on the same points).
"""

import json
import sys
import time
from pathlib import Path

import MRzeroCore
import numpy as np
import torch

folder, method = Path(sys.argv[1]), sys.argv[2]
torch.set_num_threads(2)
maps = np.load(folder / "maps.npz")
axes = [(np.arange(n) - n // 2) * d for n, d in zip(maps["density"].shape, maps["voxel_size"], strict=True)]
positions = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)
there = maps["density"].ravel() > 0
phantom = MRzeroCore.CustomVoxelPhantom(
    pos=positions[there].tolist(),
    PD=maps["density"].ravel()[there].tolist(),
    T1=maps["t1"].ravel()[there].tolist(),
    T2=maps["t2"].ravel()[there].tolist(),
    T2dash=1e9,
    D=0.0,
    voxel_size=1e-9,
    voxel_shape="box",
).build()
began, busy_from = time.perf_counter(), time.process_time()
sequence = MRzeroCore.Sequence.import_file(str(folder / "pass.seq"))
if method == "isochromats":
    phantom.nyquist = torch.tensor([1e12, 1e12, 1e12])  # points: no spread within
    signal = MRzeroCore.isochromat_sim(sequence, phantom, 1, print_progress=False)
else:
    graph = MRzeroCore.compute_graph(sequence, phantom, 200, 1e-5)
    signal = MRzeroCore.execute_graph(graph, sequence, phantom, 1e-5, 1e-5, print_progress=False)
seconds, busy = time.perf_counter() - began, time.process_time() - busy_from
np.save(folder / f"mrzero_{method}.npy", signal.detach().numpy().reshape(-1))
print(json.dumps([seconds, busy]))
