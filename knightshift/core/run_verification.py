"""Check every file of a run against its checksums: what is damaged is named, the rest is known to be good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from knightshift.core.durable import PART_SUFFIX
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import read_journal
from knightshift.core.kept_fids import ADJUSTMENTS, kept_fids, read_kept_fid
from knightshift.core.pass_file import pass_file_name, read_pass_file
from knightshift.core.run_folder import JOURNAL, PASSES, Commit, Run, open_run
from knightshift.core.run_without_passes import why_no_pass


@dataclass(frozen=True)
class VerificationReport:
    """What `verify_run` found."""

    path: Path
    """The run folder."""
    n_passes: int | None
    """Passes planned; None if the manifest cannot be read."""
    good: tuple[int, ...]
    """Passes whose file is intact, by index; committed ones only, if the journal can be read."""
    damage: tuple[DamagedDataError, ...]
    """Each damaged file, with place and remedy."""
    notes: tuple[str, ...]
    """What a crash has left and `resume` will put in order: no damage."""
    without_passes: str = ""
    """Why the run has none, where none was begun: that is no damage either."""

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damage


def verify_run(path: str | Path) -> VerificationReport:
    """Read every file of a run, also while another process writes it.

    Returns
    -------
    VerificationReport
        Good passes, damaged files, and what a crash has left.

    Raises
    ------
    ConfigError
        If `path` is not a run.
    """
    folder = Path(path)
    try:
        run = open_run(folder)
    except DamagedDataError as error:
        good, damage = _check_alone(folder)
        return VerificationReport(folder, None, good, (error, *damage), ())
    damage = _check_programs(run)
    try:
        torn = read_journal(folder / JOURNAL).torn_bytes
        commits = run.commits()
    except DamagedDataError as error:
        good, more = _check_alone(folder)
        return VerificationReport(folder, run.manifest.n_passes, good, (*damage, error, *more), ())
    good, more = _check_committed(run, commits)
    more += _check_kept_fids(run)
    notes = [f"{JOURNAL}: {torn} bytes of a torn last line"] if torn else []
    notes += _left_over(run, commits)
    without = "" if commits else why_no_pass(run.events())
    return VerificationReport(folder, run.manifest.n_passes, good, (*damage, *more), tuple(notes), without)


def _check_programs(run: Run) -> list[DamagedDataError]:
    damage = []
    for entry in run.manifest.programs:
        try:
            run.program(entry)
        except DamagedDataError as error:
            damage.append(error)
    return damage


def _check_committed(run: Run, commits: Mapping[int, Commit]) -> tuple[tuple[int, ...], list[DamagedDataError]]:
    good, damage = [], []
    for index, commit in commits.items():
        try:
            run.read_committed(commit)
            good.append(index)
        except DamagedDataError as error:
            damage.append(error)
    return tuple(good), damage


def _check_kept_fids(run: Run) -> list[DamagedDataError]:
    damage = []
    for name, digest in kept_fids(run.events(), run.path / JOURNAL).items():
        try:
            read_kept_fid(run.path, name, digest)
        except DamagedDataError as error:
            damage.append(error)
    return damage


def _check_alone(folder: Path) -> tuple[tuple[int, ...], list[DamagedDataError]]:
    """Check the pass files by their own checksums, where manifest or journal cannot be asked."""
    good: list[int] = []
    damage: list[DamagedDataError] = []
    for path in sorted((folder / PASSES).glob("p*.h5")):
        try:
            index = read_pass_file(path).record.index
            if path.name != pass_file_name(index):
                raise DamagedDataError(path, "pass index", f"{index} is not that of its name")  # noqa: TRY301
            good.append(index)
        except DamagedDataError as error:
            damage.append(error)
    return tuple(good), damage


def _left_over(run: Run, commits: Mapping[int, Commit]) -> list[str]:
    expected = {pass_file_name(index) for index in commits}
    folder = run.path / PASSES
    if not folder.is_dir():
        return [f"{PASSES}: there is no such folder"]
    names = sorted(entry.name for entry in folder.iterdir() if entry.name not in expected)
    found = [f"{PASSES}/{name}" for name in names]
    kept, folder = kept_fids(run.events(), run.path / JOURNAL), run.path / ADJUSTMENTS
    if folder.is_dir():
        found += [f"{ADJUSTMENTS}/{entry.name}" for entry in sorted(folder.iterdir()) if entry.name not in kept]
    return [f"{name}: {'half written' if name.endswith(PART_SUFFIX) else 'not recorded'}" for name in found]
