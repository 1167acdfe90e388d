"""How a run went, from its manifest and journal: what a report tells and what it cost."""

from __future__ import annotations

from collections.abc import Mapping

from knightshift.core.durable import read_regular_file
from knightshift.core.run_folder import MANIFEST, Commit, Run
from knightshift.reconstruction.report.digests import sha256_hex
from knightshift.reconstruction.report.inputs import RejectedPass, RunFacts

_LOSSES = {"rejected": "rejected", "quarantined": "file damaged, kept aside"}
_MAX_MANIFEST_BYTES = 16_000_000


def run_facts(run: Run) -> RunFacts:
    """Collect the facts of a run, complete or not.

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
        scanner=f"{scanner.backend}: {scanner.device}, version {scanner.version}",
        sample=manifest.setup.phantom_name or "",
        virtual_clock=manifest.setup.clock == "virtual",
        seed=manifest.setup.seed,
        versions=manifest.versions,
        digests=_digests(run),
    )


def _rejected(run: Run, commits: Mapping[int, Commit]) -> tuple[RejectedPass, ...]:
    flagged = [
        RejectedPass(commit.index, ", ".join(commit.flags), commit.finished - commit.started)
        for commit in commits.values()
        if commit.flags
    ]
    lost = []
    for event in run.events():
        if event.event in _LOSSES:
            index = int(event.payload["pass"])  # checked by run.commits()
            reason = str(event.payload.get("reason", "")) or _LOSSES[event.event]
            lost.append(RejectedPass(index, reason, run.manifest.program_of(index).duration))
    return tuple(sorted([*flagged, *lost], key=lambda rejected: rejected.index))


def _digests(run: Run) -> dict[str, str]:
    manifest = sha256_hex(read_regular_file(run.path / MANIFEST, _MAX_MANIFEST_BYTES))
    return {MANIFEST: manifest, **{program.name: program.digest for program in run.manifest.programs}}
