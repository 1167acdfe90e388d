"""Run a measurement through the night: the pass loop, the journal, resume. Nothing committed can be lost.

Names are imported when they are asked for, so that the commands of the queue, which need none of the pass loop, start
without numpy and h5py.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knightshift.acquisition.night import acquire, resume
    from knightshift.acquisition.options import (
        AcquisitionOptions,
        ProgressEvent,
        ProgressKind,
        RunResult,
        RunStatus,
    )
    from knightshift.acquisition.recovery import resume_time
    from knightshift.acquisition.stop_request import StopRequest

__all__ = [
    "AcquisitionOptions",
    "ProgressEvent",
    "ProgressKind",
    "RunResult",
    "RunStatus",
    "StopRequest",
    "acquire",
    "resume",
    "resume_time",
]

_OPTIONS = "knightshift.acquisition.options"
_HOME = {
    "AcquisitionOptions": _OPTIONS,
    "ProgressEvent": _OPTIONS,
    "ProgressKind": _OPTIONS,
    "RunResult": _OPTIONS,
    "RunStatus": _OPTIONS,
    "StopRequest": "knightshift.acquisition.stop_request",
    "acquire": "knightshift.acquisition.night",
    "resume": "knightshift.acquisition.night",
    "resume_time": "knightshift.acquisition.recovery",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
