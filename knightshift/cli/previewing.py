"""`knightshift preview`: images of a run that another process acquires."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from knightshift.acquisition.local_time import local_zone
from knightshift.acquisition.preview import RunFollower, RunState, Snapshot, take_snapshot, write_preview
from knightshift.acquisition.stop_request import StopRequest
from knightshift.core.errors import InputError
from knightshift.core.quantities import to_si
from knightshift.core.run_folder import DERIVED, open_run

FOLDER = "preview"
"""Where a preview is written in the folder of derived files of a run, unless told otherwise."""
_NICENESS = 10
"""The scanner comes first."""
_POLL = 1.0
_GONE_FOR_GOOD = 3
"""So many looks in a row must find nobody acquiring before a run counts as interrupted: one may just begin."""
_LIVES = frozenset({RunState.RUNNING, RunState.SUSPENDED})


def preview_run(path: Path, output: Path | None, *, follow: bool, every: str) -> None:
    """Draw what the passes so far show; with `follow`, again and again until the run is over."""
    run = open_run(path)
    folder = _folder(path, output)
    interval = _seconds(every)
    follower, console = RunFollower(run), Console()
    if not follow:
        follower.catch_up()
        _say(_write(follower, folder), folder, console)
        return
    stop = StopRequest()
    with stop.on_signals():
        _follow(follower, folder, interval, stop)
    _say(_write(follower, folder), folder, console)


def _folder(path: Path, output: Path | None) -> Path:
    if output is None:
        return path / DERIVED / FOLDER
    inside = output.resolve()
    if inside.is_relative_to(path.resolve()) and not inside.is_relative_to(path.resolve() / DERIVED):
        raise InputError(f"{output}: lies in the run, which is not touched: leave -o out, or give a folder outside")
    return output


def _seconds(every: str) -> float:
    try:
        value: Any = to_si(every, "s", units_required=True)
    except ValueError as error:
        raise InputError(f"--every {error}") from error
    if value <= 0:
        raise InputError(f"--every {every}: give a time above zero, such as '30 s'")
    return float(value)


def be_nice() -> None:
    """Give way to the process that acquires."""
    if (more := _NICENESS - os.nice(0)) > 0:
        os.nice(more)


def _follow(follower: RunFollower, folder: Path, interval: float, stop: StopRequest) -> None:
    """Draw when there are new passes, at most once in `interval` [s], until nobody acquires into the run any more."""
    undrawn, drawn_at, gone = 0, -float("inf"), 0
    while not stop.after_pass:
        undrawn += follower.catch_up()
        state = follower.state()
        gone = 0 if state in _LIVES else gone + 1
        if gone and (state is not RunState.INTERRUPTED or gone >= _GONE_FOR_GOOD):
            return
        if undrawn and time.monotonic() - drawn_at >= interval:
            drawn_at, undrawn = time.monotonic(), 0
            _write(follower, folder)
        time.sleep(min(_POLL, interval))


def _write(follower: RunFollower, folder: Path) -> Snapshot:
    snapshot = take_snapshot(follower)
    write_preview(snapshot, folder, time.time())
    return snapshot


def _say(snapshot: Snapshot, folder: Path, console: Console) -> None:
    logging.getLogger(__name__).debug("preview of %s written", snapshot.run_id)
    words = f"{snapshot.run_id}: {snapshot.state}, {snapshot.n_committed} of {snapshot.n_planned} passes"
    console.print(words, highlight=False, markup=False, soft_wrap=True)
    if snapshot.series is None:
        why = snapshot.without_passes or "not every echo time has a good pass"
        console.print(f"  no images yet: {why}", highlight=False, markup=False, soft_wrap=True)
    if snapshot.snr is not None:
        text = ", ".join(f"{value:.1f}" for value in snapshot.snr)
        console.print(f"  SNR of voxels with signal, echo by echo: {text}", highlight=False)
    for progress in snapshot.rules:
        console.print(f"  {progress.line(local_zone())}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {folder}", highlight=False, soft_wrap=True)
