"""What a night tells in the morning, from its journal alone: epochs, suspensions, faults, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from knightshift.core.clock import from_iso_time
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent
from knightshift.core.run_folder import JOURNAL, Run, finite_number
from knightshift.reconstruction.report.night_curves import Curve, CurveCollector


@dataclass(frozen=True)
class Epoch:
    """One stretch of acquisition, from a start or a resume to its end."""

    number: int
    """From 0."""
    began: float
    """Seconds since the Unix epoch (UTC)."""
    ended: float
    """Its last word in the journal, whatever that was [s since 1970 UTC]."""
    status: str
    """``completed``, ``stopped``, ``failed``; empty where the process left no last word, or still acquires."""
    reason: str
    """Why it ended; empty where it completed."""
    n_committed: int
    """Passes it made durable."""
    host: str
    """Computer that acquired."""


@dataclass(frozen=True)
class Suspension:
    """A time in which interlocks let no pass begin."""

    index: int
    """The pass that waited."""
    began: float
    """Seconds since the Unix epoch (UTC)."""
    duration: float | None
    """How long it took until the run went on [s]; None where it did not."""
    reason: str
    """Which interlock, and its reason."""


@dataclass(frozen=True)
class Repetition:
    """A pass that was spoilt by a transient fault and played again."""

    index: int
    """The pass."""
    attempt: int
    """Which attempt was spoilt, from 1."""
    time: float
    """When that was known: seconds since the Unix epoch (UTC)."""
    kind: str
    """Type of the fault."""
    fault: str
    """Device and fault in words."""
    cost: float
    """Scanner time of the spoilt attempt [s]."""


@dataclass(frozen=True)
class Happening:
    """Anything else worth a line: damage, a torn journal, a lock left behind, a stop rule that was met."""

    time: float
    """Seconds since the Unix epoch (UTC)."""
    event: str
    """Name of the event in the journal."""
    words: str
    """What it says."""


@dataclass(frozen=True)
class Night:
    """The journal of a run, sorted for people."""

    epochs: tuple[Epoch, ...] = ()
    """In order."""
    suspensions: tuple[Suspension, ...] = ()
    """In order."""
    repetitions: tuple[Repetition, ...] = ()
    """In order."""
    happenings: tuple[Happening, ...] = ()
    """In order."""
    curves: tuple[Curve, ...] = ()
    """Everything that was followed: readings of monitors, reference FIDs, working frequency."""

    @property
    def suspended(self) -> float:
        """Time in suspensions that ended [s]."""
        return sum(pause.duration or 0.0 for pause in self.suspensions)

    @property
    def repeated(self) -> float:
        """Scanner time of spoilt attempts [s]."""
        return sum(again.cost for again in self.repetitions)


_WORDS = (
    "kind", "reason", "file", "kept_as", "bytes", "rule", "pass", "message", "service", "problem", "holder", "words",
    "receiver_frequency_Hz", "receiver_gain_dB",
)  # fmt: skip
_WORTH_A_LINE = frozenset({"warning", "failed"})
"""Verdicts of the pre-flight."""
_HAPPENINGS = (
    "quarantined",
    "file_quarantined",
    "rejected",
    "adopted",
    "journal_cut",
    "stale_lock_taken",
    "adjusted",
    "rule_met",
    "rule_failed",
    "notification_failed",
)


def night_of(run: Run) -> Night:
    """Read what happened during a run, complete or not, also one that is still being acquired.

    Raises
    ------
    DamagedDataError
        If the journal is damaged, or an event does not hold what it must.
    """
    reader = NightReader()
    for event in run.events():
        try:
            reader.read(event)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedDataError(
                run.path / JOURNAL, f"line {event.sequence + 1}", f"event {event.event!r}: {error}"
            ) from error
    return reader.night()


@dataclass
class _OpenEpoch:
    number: int
    began: float
    host: str
    ended: float
    n_committed: int = 0
    status: str = ""
    reason: str = ""


@dataclass
class NightReader:
    """Takes events in order; knows when the scanner became free, to tell what a spoilt attempt cost."""

    _epochs: list[_OpenEpoch] = field(default_factory=list)
    _suspensions: list[Suspension] = field(default_factory=list)
    _repetitions: list[Repetition] = field(default_factory=list)
    _happenings: list[Happening] = field(default_factory=list)
    _curves: CurveCollector = field(default_factory=CurveCollector)
    _free: list[float] = field(default_factory=list)

    def read(self, event: JournalEvent) -> None:
        """Take the next event.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it does not hold what it must.
        """
        handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "epoch_began": self._began,
            "committed": self._committed,
            "suspended": self._suspended,
            "resumed": self._resumed,
            "pass_repeated": self._repeated,
            "reference": self._measured,
            "adjusted": self._measured,
        }
        time = from_iso_time(event.time)
        if event.event in handlers:
            handlers[event.event](event.payload)
        elif event.event == "ended" and self._epochs:
            self._epochs[-1].status = str(event.payload["status"])
            self._epochs[-1].reason = str(event.payload["reason"])
        if event.event in _HAPPENINGS:
            self._happenings.append(Happening(time, event.event, words_of(event.payload)))
        elif event.event == "preflight":
            self._happenings += [Happening(time, event.event, words) for words in _found(event.payload["checks"])]
        self._curves.read(event)
        if self._epochs and event.event != "notification_failed":  # which may be written when all is over
            self._epochs[-1].ended = max(self._epochs[-1].ended, time)

    def _began(self, payload: Mapping[str, Any]) -> None:
        time = finite_number(payload, "time_s")
        self._epochs.append(_OpenEpoch(int(payload["epoch"]), time, str(payload.get("host", "")), time))
        self._free.append(time)

    def _committed(self, payload: Mapping[str, Any]) -> None:
        self._free.append(finite_number(payload, "finished_s"))
        if self._epochs:
            self._epochs[-1].n_committed += 1

    def _suspended(self, payload: Mapping[str, Any]) -> None:
        began = finite_number(payload, "time_s")
        self._suspensions.append(Suspension(int(payload["pass"]), began, None, str(payload["reason"])))

    def _resumed(self, payload: Mapping[str, Any]) -> None:
        time, took = finite_number(payload, "time_s"), finite_number(payload, "suspended_s")
        self._free.append(time)
        if self._suspensions and self._suspensions[-1].duration is None:
            last = self._suspensions.pop()
            self._suspensions.append(Suspension(last.index, last.began, took, last.reason))

    def _repeated(self, payload: Mapping[str, Any]) -> None:
        time = finite_number(payload, "time_s")
        self._free.append(time)
        fault = f"{payload['device']}: {payload['fault']}"
        self._repetitions.append(
            Repetition(int(payload["pass"]), int(payload["attempt"]), time, str(payload["kind"]), fault, 0.0)
        )

    def _measured(self, payload: Mapping[str, Any]) -> None:
        self._free.append(finite_number(payload, "time_s"))

    def _with_cost(self, again: Repetition) -> Repetition:
        """Count from when the scanner was free last: the commit record of the pass before may come later than that."""
        began = max((moment for moment in self._free if moment < again.time), default=again.time)
        return replace(again, cost=again.time - began)

    def night(self) -> Night:
        """Give what was told so far."""
        return Night(
            epochs=tuple(
                Epoch(one.number, one.began, one.ended, one.status, one.reason, one.n_committed, one.host)
                for one in self._epochs
            ),
            suspensions=tuple(self._suspensions),
            repetitions=tuple(map(self._with_cost, self._repetitions)),
            happenings=tuple(self._happenings),
            curves=self._curves.curves(),
        )


def _found(checks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say what a pre-flight did not like."""
    for check in checks:
        if check["verdict"] in _WORTH_A_LINE:
            yield f"{check['verdict']}: {check['name']}, {check['subject']}: {check['value']}, wanted {check['limit']}"


def words_of(payload: Mapping[str, Any]) -> str:
    """Put the plain facts of an event in words; nested ones (readings, versions) are left to the journal."""
    told = [(key, payload[key]) for key in _WORDS if isinstance(payload.get(key), str | int | float)]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told if value != "")
