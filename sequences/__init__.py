"""Protocols and the Pulseq programs that they become.

``load_protocol`` reads a protocol, ``build`` turns it into a `Measurement` for one scanner, ``describe`` tells what it
will cost, ``sequence_of`` opens a program in pypulseq.
"""

from knightshift.sequences.gradient_echo import GradientEcho
from knightshift.sequences.multi_echo_spin_echo import MultiEchoSpinEcho
from knightshift.sequences.plan_summary import PlanSummary, describe
from knightshift.sequences.protocols import ImagingProtocol, Protocol, build, export_seq, load_protocol
from knightshift.sequences.pulse_acquire import PulseAcquire
from knightshift.sequences.pulseq_system import sequence_of, system_of
from knightshift.sequences.pulseq_versions import as_pulseq_version
from knightshift.sequences.spin_echo_series import SpinEchoSeries

__all__ = [
    "GradientEcho",
    "ImagingProtocol",
    "MultiEchoSpinEcho",
    "PlanSummary",
    "Protocol",
    "PulseAcquire",
    "SpinEchoSeries",
    "as_pulseq_version",
    "build",
    "describe",
    "export_seq",
    "load_protocol",
    "sequence_of",
    "system_of",
]
