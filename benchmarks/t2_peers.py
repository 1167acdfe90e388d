"""T2 fits of other programs on the voxels of `t2.py`: two parameters, magnitudes, as each recommends.

They are not dependencies: install what you want to compare with (``pip install tedana qmrpy mdreg ukat``) into an
environment of its own; what is absent is skipped with a line.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit

Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From magnitudes ``(echo, voxel)`` and echo times [s] to T2 [s] ``(voxel,)``; NaN or 0 where the fit failed."""


@dataclass(frozen=True)
class Peer:
    """Another program."""

    name: str
    load: Callable[[], Fit]
    """Import it; raises `ImportError` where it is absent."""
    n_voxels: int
    """As many as it fits in some seconds."""


def curve_fit_per_voxel() -> Fit:
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


PEERS = (
    Peer("scipy curve_fit", curve_fit_per_voxel, 2000),
    Peer("tedana log-linear", lambda: tedana("loglin"), 100_000),
    Peer("tedana curve_fit", lambda: tedana("curvefit"), 500),
    Peer("qmrpy", qmrpy, 500),
    Peer("mdreg", mdreg, 500),
    Peer("ukat", ukat, 300),
)


@contextlib.contextmanager
def quiet() -> object:
    """Keep progress bars and warnings of peers out of the table."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(before)
