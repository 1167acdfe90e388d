"""knightshift: overnight T2 imaging of sodium batteries, from a protocol to a T2 map.

>>> import knightshift as ks
>>> run = ks.open_run("runs/20260105-190000-overnight_t2")  # doctest: +SKIP
>>> run.images  # labelled complex images  # doctest: +SKIP
>>> run.t2_map()  # T2 in seconds, its standard deviation, and a status for every voxel  # doctest: +SKIP

Names are imported when they are asked for, so that ``import knightshift`` and the command line start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knightshift.api.runs import RunData, open_run
    from knightshift.api.scans import ScanData, open_scan
    from knightshift.core.errors import KnightshiftError
    from knightshift.reconstruction.fft import centered_ifft, centered_ifft_magnitude
    from knightshift.reconstruction.recipe import Recipe
    from knightshift.reconstruction.relaxometry.fit import fit_t2
    from knightshift.reconstruction.relaxometry.intervals import t2_interval
    from knightshift.reconstruction.relaxometry.options import T2Options
    from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status

    __version__: str

__all__ = [
    "KnightshiftError",
    "Recipe",
    "RunData",
    "ScanData",
    "T2Fit",
    "T2Options",
    "T2Status",
    "__version__",
    "centered_ifft",
    "centered_ifft_magnitude",
    "fit_t2",
    "open_run",
    "open_scan",
    "t2_interval",
]

_HOME = {
    "KnightshiftError": "knightshift.core.errors",
    "Recipe": "knightshift.reconstruction.recipe",
    "RunData": "knightshift.api.runs",
    "ScanData": "knightshift.api.scans",
    "T2Fit": "knightshift.reconstruction.relaxometry.result",
    "T2Options": "knightshift.reconstruction.relaxometry.options",
    "T2Status": "knightshift.reconstruction.relaxometry.result",
    "centered_ifft": "knightshift.reconstruction.fft",
    "centered_ifft_magnitude": "knightshift.reconstruction.fft",
    "fit_t2": "knightshift.reconstruction.relaxometry.fit",
    "open_run": "knightshift.api.runs",
    "open_scan": "knightshift.api.scans",
    "t2_interval": "knightshift.reconstruction.relaxometry.intervals",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("knightshift")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names, for completion in notebooks."""
    return sorted([*globals(), *__all__])
