"""`knightshift acquire`, `resume` and `verify`: a run and its folder."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from knightshift.acquisition import (
    AcquisitionOptions,
    ProgressEvent,
    ProgressKind,
    RunResult,
    RunStatus,
    acquire,
    resume,
)
from knightshift.acquisition.local_time import local_zone
from knightshift.acquisition.salvage import set_damage_aside
from knightshift.acquisition.stop_rules.progress import rules_in_force
from knightshift.cli.check_table import show_checks
from knightshift.cli.telling import telling
from knightshift.core.clock import Clock, SystemClock, VirtualClock, from_iso_time
from knightshift.core.errors import ConfigError, DamagedDataError, KnightshiftError
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.core.yaml_files import as_plain, validate
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.site import SiteConfig, load_site
from knightshift.sequences import build, load_protocol

if TYPE_CHECKING:
    from knightshift.acquisition.stop_rules import RuleObserver, StopRules
    from knightshift.hardware.contract import Scanner

SIMULATED = "simulated"
"""The backend that has a phantom, a seed and, if wanted, a virtual clock."""

_WORTH_A_WORD = {ProgressKind.REPEATED, ProgressKind.SUSPENDED, ProgressKind.RESUMED}

_TIME_MAY_JUMP = (SIMULATED, "replay", "remote")
"""Backends that may run on a virtual clock; a remote one refuses by itself if the clock at the other end is real."""

_TOLD_IN_FULL = 3
"""So many events with the same words are printed."""


class _DamagedRunError(KnightshiftError):
    """What `verify` found, one line for each damaged file."""

    exit_code = DamagedDataError.exit_code


class ProgressView:
    """One line on the terminal: passes, finish time, how far stop rules are, the last event worth a word.

    Parameters
    ----------
    console
        Where to draw.
    quiet
        Draw nothing.
    rules
        Whose progress is shown.
    """

    def __init__(self, console: Console, *, quiet: bool = False, rules: RuleObserver | None = None) -> None:
        self._console, self._quiet, self._rules = console, quiet, rules
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("passes, ends {task.fields[ends]}{task.fields[rules]}"),
            console=console,
            disable=quiet,
        )
        self._task: TaskID | None = None
        self._told: Counter[str] = Counter()

    def __enter__(self) -> ProgressView:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the line as it is."""
        self._bar.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        if event.kind is ProgressKind.CHECKED:
            if not self._quiet:
                show_checks(event.checks, self._console)
            return
        ends = datetime.fromtimestamp(event.finish_time).astimezone().strftime("%a %H:%M:%S")
        if self._task is None:
            self._task = self._bar.add_task(event.run_path.name, total=event.n_passes, ends=ends, rules="")
        self._bar.update(self._task, completed=event.n_committed, ends=ends, rules=self._rule_words())
        if event.kind in _WORTH_A_WORD or event.flags:
            self._tell(event, event.message or ", ".join(event.flags))

    def _rule_words(self) -> str:
        if self._rules is None or not self._rules.progress:
            return ""
        last = max(self._rules.progress, key=lambda rule: rule.predicted_time or float("inf"))
        return escape(f"; {last.line(local_zone())}")

    def _tell(self, event: ProgressEvent, words: str) -> None:
        """Print what is new; a fault that returns in pass after pass would scroll everything else away."""
        self._told[words] += 1
        if self._quiet or self._told[words] > _TOLD_IN_FULL:
            return
        more = ": the next of this kind are in the journal" if self._told[words] == _TOLD_IN_FULL else ""
        self._console.print(f"pass {event.pass_index}: {event.kind}: {words}{more}", highlight=False, markup=False)


@dataclass(frozen=True)
class ScanChoices:
    """What the command line says about a scan."""

    scanner: str = SIMULATED
    """A site file, or the name of a shipped one."""
    phantom: str | None = None
    """Sample in the simulated scanner."""
    virtual_clock: bool = False
    """Let simulated time jump."""
    seed: int | None = None
    """Of the simulated noise."""
    rules: StopRules | None = None
    """When the run has seen enough."""
    notify: Path | None = None
    """Whom to tell."""


def acquire_run(protocol: str, runs: Path, choices: ScanChoices, *, quiet: bool = False) -> RunResult:
    """Acquire a protocol into a new run folder, or as much of it as stop rules ask for, and say how it ended."""
    rules, site = choices.rules, load_site(choices.scanner)
    measurement = build(load_protocol(protocol), site.limits)
    if rules is not None:
        from knightshift.acquisition.stop_rules import AppliedRules

        AppliedRules.to(rules, measurement.encoding)  # refuse now what could not be measured later
    clock: Clock = VirtualClock() if choices.virtual_clock else SystemClock()
    device, setup = new_scanner(site, clock, phantom=choices.phantom, seed=choices.seed)
    console, (observer, options) = Console(), _watched(rules)
    with telling(choices.notify) as herald, ProgressView(console, quiet=quiet, rules=observer) as view:
        options, watch = herald.joined(options), herald.watching(view)
        result = acquire(measurement, device, runs, setup=setup, clock=clock, options=options, on_progress=watch)
        herald.ended(result)
    if not quiet:
        _say_how_it_ended(result, console)
    return result


def _watched(rules: StopRules | None) -> tuple[RuleObserver | None, AcquisitionOptions]:
    if rules is None:
        return None, AcquisitionOptions()
    from knightshift.acquisition.stop_rules import RuleObserver  # brings the reconstruction with it

    observer = RuleObserver(rules)
    return observer, AcquisitionOptions(observers=(observer,))


def new_scanner(site: SiteConfig, clock: Clock, *, phantom: str | None, seed: int | None) -> tuple[Scanner, RunSetup]:
    """Open the scanner of a site for a run that begins, with all that its manifest must say.

    Raises
    ------
    ConfigError
        If a real scanner is asked for what only the simulated one has.
    """
    virtual = isinstance(clock, VirtualClock)
    if site.backend != SIMULATED:
        if phantom is not None or seed is not None:
            raise ConfigError(
                f"scanner {site.source!r} is not simulated here: --phantom and --seed belong to the simulated scanner: "
                "leave them out"
            )
        if virtual and site.backend not in _TIME_MAY_JUMP:
            raise ConfigError(
                f"scanner {site.source!r} is a real one: its night takes a night: leave --virtual-clock out"
            )
        kind: Literal["virtual", "system"] = "virtual" if virtual else "system"
        setup = RunSetup(clock=kind, site=as_plain(site), limits=as_plain(site.limits))
        return open_scanner(site, clock=clock), setup
    from knightshift.hardware.simulated import load_phantom

    sample = load_phantom(phantom or str(site.settings.get("phantom", "shorted")))
    seed = secrets.randbits(32) if seed is None else seed
    setup = RunSetup(
        clock="virtual" if virtual else "system",
        seed=seed,
        site=as_plain(site),
        limits=as_plain(site.limits),
        phantom_name=sample.name,
        phantom=as_plain(sample),
    )
    return open_scanner(site, clock=clock, phantom=as_plain(sample), seed=seed), setup


def scanner_of_run(path: Path, clock: Clock | None = None) -> tuple[Scanner, Clock]:
    """Open the scanner that the manifest of a run names, with its sample, seed and kind of clock.

    Parameters
    ----------
    path
        The run folder.
    clock
        To be used if it is of the kind that the run has; None: a new one.
    """
    run = open_run(path)
    setup = run.manifest.setup
    site: SiteConfig = validate(SiteConfig, setup.site, f"{path}/manifest.json: setup.site")
    kind = VirtualClock if setup.clock == "virtual" else SystemClock
    if not isinstance(clock, kind):
        clock = VirtualClock(from_iso_time(run.manifest.created)) if setup.clock == "virtual" else SystemClock()
    return open_scanner(site, clock=clock, phantom=setup.phantom, seed=setup.seed), clock


def resume_run(path: Path, rules: StopRules | None = None, notify: Path | None = None) -> RunResult:
    """Continue a run with the scanner, sample, seed and kind of clock that its manifest names.

    Parameters
    ----------
    path
        The run folder.
    rules
        When it has seen enough; None: the rules it was begun with, unless they were met already.
    notify
        Whom to tell.
    """
    device, clock = scanner_of_run(path)
    console, (observer, options) = Console(), _watched(rules or rules_in_force(open_run(path).events()))
    with telling(notify, continued=True) as herald, ProgressView(console, rules=observer) as view:
        options, watch = herald.joined(options), herald.watching(view)
        result = resume(path, device, clock=clock, options=options, on_progress=watch)
        herald.ended(result)
    _say_how_it_ended(result, console)
    return result


def _say_how_it_ended(result: RunResult, console: Console) -> None:
    flagged = f", {result.n_flagged} of them flagged" if result.n_flagged else ""
    console.print(f"{result.status}: {result.n_committed} of {result.n_passes} passes kept{flagged}", highlight=False)
    if result.reason:
        console.print(f"stopped by: {result.reason}", highlight=False, markup=False, soft_wrap=True)
    if result.status is RunStatus.STOPPED:
        console.print(f"to continue: {result.resume_command}", highlight=False, soft_wrap=True)
    console.print(f"run: {result.path}", highlight=False, soft_wrap=True)


def verify_run_folder(path: Path, *, set_aside: bool = False) -> None:
    """Check every file of a run; raise what is worst. With `set_aside`, move that to quarantine first."""
    report, console = verify_run(path), Console()
    if set_aside and report.damage:
        for damage in report.damage:
            console.print(f"set aside: {damage}", highlight=False, markup=False, soft_wrap=True)
        set_damage_aside(path, time.time())
        report = verify_run(path)
    planned = "" if report.n_passes is None else f" of {report.n_passes}"
    words = report.without_passes or f"{len(report.good)}{planned} passes are intact"
    console.print(words, highlight=False, markup=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if report.damage:
        raise _DamagedRunError("\n".join(str(damage) for damage in report.damage))
