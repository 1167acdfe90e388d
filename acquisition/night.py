"""Begin a run, or go on with one that was cut short."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from knightshift.acquisition.abandoned_runs import clear_abandoned
from knightshift.acquisition.adjustments.schedule import as_site_wants
from knightshift.acquisition.options import AcquisitionOptions, OnProgress, ProgressEvent, RunResult
from knightshift.acquisition.pass_loop import PassLoop
from knightshift.acquisition.preflight import Departure, preflight
from knightshift.acquisition.preflight_verdict import refuse_if_failed
from knightshift.acquisition.recovery import next_epoch, recover, resume_time
from knightshift.acquisition.run_identity import check_unchanged, identity_of
from knightshift.acquisition.run_lock import RunLock
from knightshift.acquisition.run_writer import (
    RunWriter,
    create_run,
    free_run_id,
    make_runs_folder,
)
from knightshift.acquisition.surroundings import surroundings_of
from knightshift.core.clock import Clock, iso_time
from knightshift.core.manifest import Manifest, ProgramEntry, RunSetup, software_versions
from knightshift.core.program import Measurement
from knightshift.core.run_folder import LOCK, Run, open_run
from knightshift.hardware.contract import Scanner


def _nobody(_event: ProgressEvent) -> None:
    """Nobody watches."""


def acquire(
    measurement: Measurement,
    scanner: Scanner,
    runs_dir: Path,
    *,
    setup: RunSetup,
    clock: Clock,
    options: AcquisitionOptions | None = None,
    on_progress: OnProgress = _nobody,
) -> RunResult:
    """Run a measurement from its first pass and keep every one in a new run folder.

    Parameters
    ----------
    measurement
        What to play.
    scanner
        Disconnected; it is connected here, and made safe and closed at the end, whatever happens.
    runs_dir
        Folder that holds the runs; created if needed.
    setup
        What else a later `resume` will need to know: site, limits, phantom, seed, kind of clock. The monitors and
        interlocks of its site are watched from here on.
    clock
        The one that the scanner uses.
    options
        Patience, name of the run, and the wish to stop. Ctrl-C and SIGTERM stop after the pass, a second one within it;
        one is enough while an interlock suspends the run.
    on_progress
        Called after each step, from this thread.

    Returns
    -------
    RunResult
        Completed, or stopped on request or by an interlock with everything kept.

    Raises
    ------
    InputError
        If `runs_dir` cannot hold a run, or the pre-flight finds something to be mended first.
    LimitError, ProtocolError
        If the scanner refuses a program. Nothing was written then.
    StorageError
        If there is too little space, or the disk fails. The next pass was not started.
    ScannerFault
        If a fault is latched, or repeating the pass did not help. `InterlockFault` if the pre-flight finds a monitor
        out of band, or an interlock said make safe, which was done.

    Notes
    -----
    Whatever ends the run, committed passes are kept, and the error carries a note with the command that continues.
    """
    options = options or AcquisitionOptions()
    make_runs_folder(runs_dir)
    around = surroundings_of(setup, clock, options.watch)
    measurement = as_site_wants(measurement, around)
    departure = Departure(measurement, scanner, clock, runs_dir, setup, around, options.disk_margin)
    with options.stop.on_signals(), around.watch or nullcontext(), scanner:
        _validate(measurement, scanner)
        checks = preflight(departure)
        refuse_if_failed(checks)
        clear_abandoned(runs_dir)
        run_id = free_run_id(runs_dir, _name(measurement, clock, options))
        run = open_run(create_run(runs_dir, _manifest(measurement, scanner, setup, clock, run_id), measurement))
        with RunLock(run.path / LOCK), RunWriter(run) as writer:
            loop = PassLoop(measurement, scanner, clock, options, on_progress, writer, around)
            loop.checked(checks)
            return loop.run(epoch=0)


def resume(
    run_path: Path,
    scanner: Scanner,
    *,
    clock: Clock,
    measurement: Measurement | None = None,
    options: AcquisitionOptions | None = None,
    on_progress: OnProgress = _nobody,
) -> RunResult:
    """Go on with a run that was stopped, killed or cut off from power, in a new epoch.

    Parameters
    ----------
    run_path
        The run folder.
    scanner
        Disconnected, and the same as before.
    clock
        The one that the scanner uses. A virtual clock is moved forward to `resume_time`; start it no later than that.
    measurement
        What the caller's protocol is now, to be compared with the run; None: the run's own programs are trusted.
    options, on_progress
        As for `acquire`.

    Returns
    -------
    RunResult
        Completed, or stopped on request with everything kept.

    Raises
    ------
    ConfigError
        If `run_path` is not a run.
    RunLockedError
        If another process acquires into it.
    ResumeMismatchError
        If protocol, programs, device or version are not those of the manifest; the message says which.
    DamagedDataError
        If manifest, a program or the middle of the journal is damaged. Damaged passes are acquired again.
    StorageError, ScannerFault
        As for `acquire`.
    """
    options = options or AcquisitionOptions()
    run = open_run(run_path)
    around = surroundings_of(run.manifest.setup, clock, options.watch)
    with options.stop.on_signals(), RunLock(run.path / LOCK) as lock, around.watch or nullcontext(), scanner:
        scanner.make_safe()
        with RunWriter(run) as writer:
            if lock.stale is not None:
                writer.log(clock.now(), "stale_lock_taken", holder=lock.stale.model_dump())
            recover(writer, clock.now())
            check_unchanged(run, identity_of(scanner), measurement and as_site_wants(measurement, around))
            loop = PassLoop(
                as_site_wants(run.measurement(), around), scanner, clock, options, on_progress, writer, around
            )
            return _go_on(loop, run)


def _go_on(loop: PassLoop, run: Run) -> RunResult:
    _validate(loop.measurement, loop.scanner)
    ended = resume_time(run)
    if run.manifest.setup.clock == "virtual":
        loop.clock.sleep(ended - loop.lead() - loop.clock.now())
    loop.gap = loop.clock.now() - ended
    missing = 1 - len(run.committed()) / run.manifest.n_passes
    if missing:
        departure = Departure(
            loop.measurement, loop.scanner, loop.clock, run.path.parent, run.manifest.setup, loop.surroundings,
            loop.options.disk_margin, missing,
        )  # fmt: skip
        loop.checked(preflight(departure))
    return loop.run(epoch=next_epoch(run.events()))


def _validate(measurement: Measurement, scanner: Scanner) -> None:
    for program in measurement.programs:
        scanner.validate(program)


def _name(measurement: Measurement, clock: Clock, options: AcquisitionOptions) -> str:
    if options.run_name is not None:
        return options.run_name
    started = datetime.fromtimestamp(clock.now(), tz=UTC).strftime("%Y%m%d-%H%M%S")
    return f"{started}-{measurement.protocol.get('name') or measurement.programs[0].name.split()[0]}"


def _manifest(measurement: Measurement, scanner: Scanner, setup: RunSetup, clock: Clock, run_id: str) -> Manifest:
    return Manifest(
        run_id=run_id,
        created=iso_time(clock.now()),
        protocol=measurement.protocol,
        encoding=measurement.encoding,
        n_passes=measurement.n_passes,
        programs=tuple(ProgramEntry.of(program) for program in measurement.programs),
        scanner=identity_of(scanner),
        setup=setup,
        versions=software_versions(),
    )
