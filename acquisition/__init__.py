"""Run a measurement through the night: the pass loop, the journal, resume. Nothing committed can be lost."""

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
