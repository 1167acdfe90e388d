"""The one tree of errors that knightshift raises on purpose.

::

    KnightshiftError
    ├── InputError            what was asked cannot be done                        exit 2
    │   ├── ConfigError           a YAML file or a value in it is wrong
    │   ├── ProtocolError         the protocol cannot be run as written
    │   │   └── LimitError            it exceeds what the scanner allows
    │   ├── ShapeError            arrays do not fit together
    │   ├── UnsupportedDataError  raw data of a kind we refuse to guess at
    │   ├── RunLockedError        another process acquires into this run
    │   └── ResumeMismatchError   the run on disk is not the one asked for
    ├── HardwareError         scanner, link or disk                                exit 3
    │   ├── ScannerFault          typed fault of a scanner (transient or latched)
    │   │   ├── IllegalTransitionError
    │   │   ├── ReadoutTimeoutError
    │   │   ├── OverrangeFault
    │   │   ├── InterlockFault
    │   │   └── LinkFault             a link, or the device at its end
    │   │       ├── NoReplyFault          nothing, or half an answer, in time
    │   │       ├── GarbledReplyFault     an answer that cannot be read
    │   │       └── WrongReplyFault       an answer to another question, or one too many
    │   ├── AdjustmentError       a measurement of the scanner itself gave no value to rely on
    │   │   └── NoSignalError         no line where one was looked for
    │   └── StorageError          a disk is full, gone or read-only
    └── DamagedDataError      a file is not what it says it is                     exit 4

A message says what, where, the numbers and the remedy. The command line prints it without a traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class KnightshiftError(Exception):
    """``except KnightshiftError`` catches all that we raise on purpose and nothing else."""

    exit_code: ClassVar[int] = 1


class InputError(KnightshiftError, ValueError):
    """What was asked cannot be done."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration file, or a value in it, is wrong."""


class ProtocolError(InputError):
    """The protocol cannot be run as written."""


class LimitError(ProtocolError):
    """The protocol asks for more than the scanner allows."""


class ShapeError(InputError):
    """Arrays do not fit together."""


class UnsupportedDataError(InputError):
    """Raw data of a kind that we refuse rather than guess at."""


class RunLockedError(InputError):
    """Another living process acquires into this run."""


class ResumeMismatchError(InputError):
    """Protocol, program, device or version differ from the manifest of the run."""


class HardwareError(KnightshiftError, RuntimeError):
    """Scanner, link or disk."""

    exit_code = 3


class ScannerFault(HardwareError):  # noqa: N818 - "fault" is the field's word
    """A fault that a scanner reports.

    Parameters
    ----------
    message
        What happened, with numbers, and what to do.
    device
        Which device reports it.
    transient
        Whether repeating the pass may succeed. False: the fault is latched until `reset`.
    data_valid
        Whether the readouts already delivered for this pass may be trusted.
    """

    transient_by_default: ClassVar[bool] = False

    def __init__(
        self, message: str, device: str = "scanner", transient: bool | None = None, data_valid: bool = False
    ) -> None:
        self.message = message
        self.device = device
        self.transient = self.transient_by_default if transient is None else transient
        self.data_valid = data_valid
        super().__init__(message, device, self.transient, data_valid)

    def __str__(self) -> str:
        return f"{self.device}: {self.message}"


class IllegalTransitionError(ScannerFault):
    """A call that the present state of the scanner does not allow."""


class ReadoutTimeoutError(ScannerFault):
    """A readout did not arrive in time."""

    transient_by_default = True


class OverrangeFault(ScannerFault):
    """The receiver was driven beyond its full scale."""

    transient_by_default = True


class InterlockFault(ScannerFault):
    """An interlock opened: over-temperature, RF trip, monitor out of band."""


class LinkFault(ScannerFault):
    """The link to the scanner, or to another device, failed."""

    transient_by_default = True


class NoReplyFault(LinkFault):
    """Nothing, or only part of an answer, came in time."""


class GarbledReplyFault(LinkFault):
    """An answer came that cannot be read: wrong checksum, wrong form, or two answers that disagree."""


class WrongReplyFault(LinkFault):
    """An answer came that does not belong to the question: a late one, one too many, or another device's."""


class AdjustmentError(HardwareError):
    """An adjustment found no value that can be relied on; nothing was changed by it."""


class NoSignalError(AdjustmentError):
    """No line is there where it was looked for: wrong sample, coil, field or frequency."""


class StorageError(HardwareError):
    """A disk is full, gone or read-only. The scan stops before the next pulse; what is committed is kept."""


class DamagedDataError(KnightshiftError):
    """A file is not what it says it is: truncated, altered, or lying about its size.

    Parameters
    ----------
    path
        The file.
    field
        The parameter, data set or line at fault.
    problem
        What is wrong, with numbers.
    remedy
        What the user can do.
    """

    exit_code = 4

    def __init__(self, path: str | Path, field: str, problem: str, remedy: str = "") -> None:
        super().__init__(str(path), field, problem, remedy)
        self.path, self.field, self.problem, self.remedy = Path(path), field, problem, remedy

    def __str__(self) -> str:
        tail = f": {self.remedy}" if self.remedy else ""
        return f"{self.path}: {self.field}: {self.problem}{tail}"
