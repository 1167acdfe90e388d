"""T2 fits of other programs on the voxels of `t2.py`: two parameters, magnitudes, as each recommends.

``python t2_peers.py PEER FOLDER`` fits every ``voxels-*.npz`` of a folder and prints a line of JSON for each; `t2.py`
runs it in an environment that holds the peers, which are no dependencies of ours. Nothing of ours is imported here.
Not on the package index, and so not here: Gpufit, QUIT, qMRLab, BART.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import resource
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from t2_references import Fit, curve_fit_complex, curve_fit_per_voxel, rician_maximum


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
    signal: str = "magnitudes"
    """Which signals of the file it fits."""
    needs: tuple[str, ...] = ()
    """To be installed with it instead of all that it asks for, where that cannot be had."""


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
    spec = find_spec("ukat")
    package = types.ModuleType("ukat")  # its own __init__ imports the segmentation of kidneys, and with it tensorflow
    package.__path__ = list(spec.submodule_search_locations) if spec else []
    sys.modules["ukat"] = package
    from ukat.mapping.t2 import T2

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        mapper = T2(columns.T[:, None, :], 1e3 * echo_times, np.eye(4), multithread=False)
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


def mrpro_dictionary() -> Fit:
    import torch
    from mrpro.operators import DictionaryMatchOp
    from mrpro.operators.models import MonoExponentialDecay

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        model = MonoExponentialDecay(decay_time=torch.as_tensor(echo_times))
        entries = torch.as_tensor(np.geomspace(echo_times[0] / 10, 50 * echo_times[-1], 700))
        match = DictionaryMatchOp(model, index_of_scaling_parameter=0).append(torch.ones(1), entries)
        return match(torch.as_tensor(columns))[1].numpy()

    return fit


def lumafit() -> Fit:
    from lumafit import levenberg_marquardt_pixelwise
    from numba import njit

    @njit
    def decay(parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
        return parameters[0] * np.exp(-parameters[1] * times)

    @njit
    def slope(parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
        columns = np.empty((times.size, 2))
        columns[:, 0] = np.exp(-parameters[1] * times)
        columns[:, 1] = -parameters[0] * times * columns[:, 0]
        return columns

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        image, unit = np.ascontiguousarray(columns.T[:, None, :]), 1e-2
        best, _, _, _, converged = levenberg_marquardt_pixelwise(
            decay, np.array([1.3, 0.6]), image, jac_func=slope, args_for_each_pixel=(echo_times / unit,)
        )
        return np.where(converged[:, 0], unit / best[:, 0, 1], np.nan)

    return fit


def qmri() -> Fit:
    from qmri.relaxometry import t2

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        return np.asarray(t2.fit(columns.T, echo_times, model="reduced").t2).reshape(-1)

    return fit


N_REFERENCE = 4000
PEERS = {
    "scipy curve_fit": Peer("scipy", curve_fit_per_voxel, N_REFERENCE),
    "scipy curve_fit real part": Peer("scipy", curve_fit_per_voxel, N_REFERENCE, signal="real"),
    "scipy curve_fit complex": Peer("scipy", curve_fit_complex, N_REFERENCE, signal="complex"),
    "scipy Rician maximum": Peer("scipy", rician_maximum, N_REFERENCE, signal="in_noise"),
    "tedana log-linear": Peer("tedana", lambda: tedana("loglin"), 100_000, is_linear=True),
    "tedana curve_fit": Peer("tedana", lambda: tedana("curvefit"), 300),
    "qmrpy": Peer("qmrpy", qmrpy, 300),
    "mdreg": Peer("mdreg", mdreg, 300),
    "ukat": Peer(
        "ukat", ukat, 200, needs=("dipy", "nibabel", "numba", "pathos", "scikit-image", "scikit-learn", "tqdm")
    ),
    "qmri": Peer("qmri", qmri, 300),
    "lumafit": Peer("lumafit", lumafit, 100_000),
    "mrpro L-BFGS": Peer("mrpro", mrpro_lbfgs, 20_000),
    "mrpro dictionary": Peer("mrpro", mrpro_dictionary, 20_000, is_linear=True),
}


def t2_file(voxels: str, peer: str) -> str:
    """Name of the file with the T2 that a peer found [s]."""
    return f"{voxels}-{peer.replace(' ', '-')}.npy"


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
    """Fit all files of a folder and write T2 beside each."""
    peer = PEERS[name]
    with quiet():
        fit = peer.load()
    for path in sorted(folder.glob("voxels-*.npz")):
        voxels = np.load(path)
        columns = np.ascontiguousarray(voxels[peer.signal][:, : peer.n_voxels])
        with quiet():
            fit(columns[:, :8], voxels["echo_times"])  # what is compiled or imported late is so now
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, busy = time.perf_counter(), time.process_time()
        with quiet():
            t2 = fit(columns, voxels["echo_times"])
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        np.save(folder / t2_file(path.stem, name), np.asarray(t2, dtype=float))
        record = {"file": path.stem, "voxels": columns.shape[1], "seconds": seconds, "busy": busy}
        print(json.dumps(record | {"memory": grown / columns.nbytes}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
