"""How a run went, from its manifest and journal: what a report tells and what it cost."""

from __future__ import annotations

from collections.abc import Mapping

from knightshift.core.clock import from_iso_time
from knightshift.core.durable import read_regular_file
from knightshift.core.run_folder import MANIFEST, Commit, Run
from knightshift.reconstruction.report.digests import sha256_hex
from knightshift.reconstruction.report.inputs import RejectedPass, RunFacts
from knightshift.reconstruction.report.night import night_of

_LOSSES = {"rejected": "rejected", "quarantined": "file damaged, kept aside"}
_MAX_MANIFEST_BYTES = 16_000_000


def run_facts(run: Run, resume_command: str = "") -> RunFacts:
    """Collect the facts of a run, complete or not.

    Parameters
    ----------
    run
        The run.
    resume_command
        The command that would continue it; it is told where passes are missing.

    Raises
    ------
    DamagedDataError
        If manifest or journal are damaged.
    """
    manifest, commits = run.manifest, run.commits()
    used = [commit for commit in commits.values() if not commit.flags]
    scanner = manifest.scanner
    return RunFacts(
        run_id=manifest.run_id,
        protocol=manifest.protocol,
        passes_planned=manifest.n_passes,
        passes_used=len(used),
        started=min((commit.started for commit in commits.values()), default=None),
        finished=max((commit.finished for commit in commits.values()), default=None),
        acquiring=sum(commit.finished - commit.started for commit in commits.values()),
        resumes=max((commit.epoch for commit in commits.values()), default=0),
        rejected=_rejected(run, commits),
        passes_committed=len(commits),
        programs_used=_by_program(run, commits),
        night=night_of(run),
        resume_command=resume_command if len(commits) < manifest.n_passes else "",
        scanner=f"{scanner.backend}: {scanner.device}, version {scanner.version}",
        sample=manifest.setup.phantom_name or "",
        virtual_clock=manifest.setup.clock == "virtual",
        seed=manifest.setup.seed,
        versions=manifest.versions,
        digests=_digests(run),
    )


def _rejected(run: Run, commits: Mapping[int, Commit]) -> tuple[RejectedPass, ...]:
    flagged = [
        RejectedPass(commit.index, ", ".join(commit.flags), commit.finished - commit.started, commit.finished)
        for commit in commits.values()
        if commit.flags
    ]
    lost = []
    for event in run.events():
        if event.event in _LOSSES:
            index = int(event.payload["pass"])  # checked by run.commits()
            reason = str(event.payload.get("reason", "")) or _LOSSES[event.event]
            cost = run.manifest.program_of(index).duration
            lost.append(RejectedPass(index, reason, cost, from_iso_time(event.time), index in commits))
    return tuple(sorted([*flagged, *lost], key=lambda rejected: rejected.index))


def _by_program(run: Run, commits: Mapping[int, Commit]) -> tuple[tuple[int, int], ...]:
    n_programs = len(run.manifest.programs)
    there = [[commit for commit in commits.values() if commit.index % n_programs == one] for one in range(n_programs)]
    return tuple((sum(not commit.flags for commit in some), len(some)) for some in there)


def _digests(run: Run) -> dict[str, str]:
    manifest = sha256_hex(read_regular_file(run.path / MANIFEST, _MAX_MANIFEST_BYTES))
    return {MANIFEST: manifest, **{program.name: program.digest for program in run.manifest.programs}}
