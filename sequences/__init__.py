"""Protocols and the Pulseq programs that they become.

``load_protocol`` reads a protocol, ``build`` turns it into a `Measurement` for one scanner, ``describe`` tells what it
will cost, ``sequence_of`` opens a program in pypulseq.
"""

from knightshift.sequences.plan_summary import PlanSummary, describe
from knightshift.sequences.protocols import (
    GradientEcho,
    ImagingProtocol,
    MultiEchoSpinEcho,
    Protocol,
    PulseAcquire,
    SpinEchoSeries,
    build,
    export_seq,
    load_protocol,
)
from knightshift.sequences.pulseq_system import sequence_of, system_of

__all__ = [
    "GradientEcho",
    "ImagingProtocol",
    "MultiEchoSpinEcho",
    "PlanSummary",
    "Protocol",
    "PulseAcquire",
    "SpinEchoSeries",
    "build",
    "describe",
    "export_seq",
    "load_protocol",
    "sequence_of",
    "system_of",
]
