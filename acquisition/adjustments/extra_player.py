"""Plays what is no pass of the run - FIDs, a dummy pass - through the same door as the passes, and keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from knightshift.acquisition.interlock_guard import PassAbortedError
from knightshift.acquisition.pass_player import PassPlayer
from knightshift.core.durable import storage_error, sync_folder, write_durably
from knightshift.core.kept_fids import ADJUSTMENTS, FidKind, kept_fid_name, scanner_index
from knightshift.core.pass_file import PassFile, content_digest, encode_pass
from knightshift.core.passes import PassRecord
from knightshift.core.program import PassProgram
from knightshift.core.run_folder import PROGRAMS, Run

KeptFile: TypeAlias = dict[str, str]
"""``file`` and ``sha256``, as the journal tells them."""
Keeper: TypeAlias = Callable[[FidKind, int, PassProgram, PassRecord], list[KeptFile]]
"""Makes what was played durable."""


def keep_nothing(_kind: FidKind, _number: int, _program: PassProgram, _record: PassRecord) -> list[KeptFile]:
    """Leave no file behind: for adjustments without a run."""
    return []


def keeper_of(run: Run) -> Keeper:
    """Keep what is played in the folder ``adjustments`` of a run, and its program beside the others."""

    def keep(kind: FidKind, number: int, program: PassProgram, record: PassRecord) -> list[KeptFile]:
        sequence = run.path / PROGRAMS / f"{program.digest}.seq"
        if not sequence.exists():
            write_durably(sequence, program.pulseq.encode())
        path = _folder(run) / kept_fid_name(kind, number)
        content = encode_pass(PassFile(record, run.manifest.run_id, program.digest))
        write_durably(path, content)
        return [{"file": path.name, "sha256": content_digest(content, path)}]

    return keep


def _folder(run: Run) -> Path:
    folder = run.path / ADJUSTMENTS
    if not folder.is_dir():
        try:
            folder.mkdir()
            sync_folder(run.path)
        except OSError as error:
            raise storage_error(folder, "creating a folder", error) from error
    return folder


@dataclass
class ExtraPlayer:
    """Plays through a `PassPlayer`: interlocks, repeats and stop requests are obeyed as for passes."""

    player: PassPlayer
    """The one of the pass loop."""
    epoch: int
    """Counter of the readouts."""

    def play(self, program: PassProgram, kind: FidKind, number: int, before_pass: int = 0) -> PassRecord:
        """Play `program` once.

        Parameters
        ----------
        program
            What to play.
        kind, number
            What it is: the index under which the scanner plays it follows.
        before_pass
            The pass that waits for it.

        Raises
        ------
        ScannerFault
            As `PassPlayer.play`.
        PassAbortedError
            If the stop request or an interlock says so.
        """
        if self.player.options.stop.after_pass:
            raise PassAbortedError
        return self.player.play(program, scanner_index(kind, number), self.epoch, waiting=before_pass)
