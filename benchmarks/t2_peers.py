"""T2 fits of other programs on the voxels of `t2.py`: two parameters, magnitudes, as each recommends.

``python t2_peers.py PEER FOLDER`` fits every ``voxels-*.npz`` of a folder and prints a line of JSON for each; `t2.py`
runs it in an environment that holds the peers, which are no dependencies of ours. Nothing of ours is imported here.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From magnitudes ``(echo, voxel)`` and echo times [s] to T2 [s] ``(voxel,)``; NaN or 0 where the fit failed."""


@dataclass(frozen=True)
class Peer:
    """Another program."""

    package: str
    """Name on the package index."""
    load: Callable[[], Fit]
    """Import it."""
    n_voxels: int
    """As many as it fits in a second or two."""
    is_linear: bool = False
    """Whether it is a linear or tabulated fit, not one to the optimum."""


def curve_fit_per_voxel() -> Fit:
    from scipy.optimize import curve_fit

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        found = np.full(columns.shape[1], np.nan)
        for voxel, column in enumerate(columns.T):
            with contextlib.suppress(RuntimeError):
                best, _ = curve_fit(lambda t, a, rate: a * np.exp(-rate * t), echo_times, column, (1.3, 60.0))
                found[voxel] = 1 / best[1]
        return found

    return fit


def tedana(fittype: str) -> Fit:
    from tedana.decay import fit_decay

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        everywhere = np.full(columns.shape[1], len(echo_times))
        return np.asarray(fit_decay(columns.T, list(echo_times), everywhere, fittype, report=False)[0]).reshape(-1)

    return fit


def qmrpy() -> Fit:
    from qmrpy.models.t2.mono_t2 import T2Mono

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        maps = T2Mono(te_ms=1e3 * echo_times).fit_image(columns.T[:, None, :])
        maps = maps.get("params", maps)
        return 1e-3 * np.asarray(maps["t2_ms"]).reshape(-1)

    return fit


def mdreg() -> Fit:
    from mdreg import fit_exp_decay

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        _, parameters = fit_exp_decay(columns.T[:, None, :], time=echo_times, parallel=False, p0=[1.0, 0.02])
        return np.asarray(parameters)[..., 1].reshape(-1)

    return fit


def ukat() -> Fit:
    from ukat.mapping.t2 import T2

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        mapper = T2(columns.T[:, None, :], 1e3 * echo_times, multithread=False)
        return 1e-3 * np.asarray(mapper.t2_map).reshape(-1)

    return fit


def mrpro_lbfgs() -> Fit:
    import torch
    from mrpro.algorithms.optimizers import lbfgs
    from mrpro.operators.functionals import MSE
    from mrpro.operators.models import MonoExponentialDecay

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        measured, unit = torch.as_tensor(columns), 1e-2  # times in 10 ms: its search wants parameters of one size
        start = 1.3 * measured[0], torch.full_like(measured[0], 1.5)
        functional = MSE(measured) @ MonoExponentialDecay(decay_time=torch.as_tensor(echo_times / unit))
        return unit * lbfgs(functional, start, max_iterations=100)[1].detach().numpy()

    return fit


def qmri() -> Fit:
    from qmri.relaxometry import t2

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        return np.asarray(t2.fit(columns.T, echo_times, model="reduced").t2).reshape(-1)

    return fit


PEERS = {
    "scipy curve_fit": Peer("scipy", curve_fit_per_voxel, 2000),
    "tedana log-linear": Peer("tedana", lambda: tedana("loglin"), 100_000, is_linear=True),
    "tedana curve_fit": Peer("tedana", lambda: tedana("curvefit"), 300),
    "qmrpy": Peer("qmrpy", qmrpy, 300),
    "mdreg": Peer("mdreg", mdreg, 300),
    "ukat": Peer("ukat", ukat, 200),
    "qmri": Peer("qmri", qmri, 300),
    "mrpro L-BFGS": Peer("mrpro", mrpro_lbfgs, 20_000),
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars and warnings of peers out of the table."""
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def main(name: str, folder: Path) -> None:
    """Fit all files of a folder and write ``<file>-t2.npy`` beside each."""
    with quiet():
        fit = PEERS[name].load()
    for path in sorted(folder.glob("voxels-*.npz")):
        voxels = np.load(path)
        columns = np.ascontiguousarray(voxels["magnitudes"][:, : PEERS[name].n_voxels])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, busy = time.perf_counter(), time.process_time()
        with quiet():
            t2 = fit(columns, voxels["echo_times"])
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        np.save(folder / f"{path.stem}-t2.npy", np.asarray(t2, dtype=float))
        record = {"file": path.stem, "voxels": columns.shape[1], "seconds": seconds, "busy": busy}
        print(json.dumps(record | {"memory": grown / columns.nbytes}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
