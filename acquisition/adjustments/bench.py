"""What every adjustment needs: the scanner behind its player, the rules of the site, the journal, the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knightshift.acquisition.adjustments.baseline import SiteMemory, read_memory, write_memory
from knightshift.acquisition.adjustments.extra_player import ExtraPlayer, Keeper, KeptFile, keep_nothing
from knightshift.acquisition.adjustments.fid_program import FidProgram, build_fid, check_search_range
from knightshift.acquisition.adjustments.measured_fid import MeasuredFid, measure_fid
from knightshift.acquisition.adjustments.schedule import search_range_of
from knightshift.acquisition.interlock_guard import Log
from knightshift.acquisition.preflight_verdict import Check, Verdict
from knightshift.acquisition.surroundings import Surroundings
from knightshift.core.clock import Clock
from knightshift.core.errors import AdjustmentError, ConfigError
from knightshift.core.kept_fids import FidKind
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import PassRecord
from knightshift.core.program import Measurement, PassProgram
from knightshift.hardware.contract import Scanner
from knightshift.hardware.preflight_rules import CheckName


@dataclass
class Bench:
    """One scanner, ready to be measured. Nothing is set here: see `PassPlayer.tune`."""

    measurement: Measurement
    """What is to be acquired."""
    scanner: Scanner
    """Connected and idle."""
    clock: Clock
    """The one that the scanner uses."""
    site: Surroundings
    """Rules of the site; its limits are known."""
    extra: ExtraPlayer
    """Plays FIDs and dummy passes."""
    log: Log
    """Writes into the journal."""
    runs_dir: Path
    """Folder that holds the runs, and what is remembered of the site."""
    origin: str
    """The run or the command, for what is remembered."""
    keep: Keeper = keep_nothing
    """Makes FIDs durable."""
    last_fid: MeasuredFid | None = field(default=None, init=False)
    """The last one that gave a line."""
    channel: int | None = field(default=None, init=False)
    """The receiver that FIDs are measured with; the first one that gives a line decides."""
    possible: bool = field(default=True, init=False)
    """Whether the scanner plays FIDs at all."""

    @property
    def limits(self) -> ScannerLimits:
        """Of the scanner, as the site file says."""
        if self.site.limits is None:
            raise ConfigError("adjustments need the limits of the scanner: name a site file")
        return self.site.limits

    @property
    def working_frequency(self) -> float:
        """What the protocol is tuned to [Hz]."""
        return self.measurement.programs[0].working_frequency

    @property
    def search_range(self) -> float:
        """How far from the receiver a line is looked for [Hz]."""
        return search_range_of(self.site.adjustments)

    def fid(self, **pulse: float) -> FidProgram:
        """Build an FID; `pulse` as for `build_fid`."""
        check_search_range(self.measurement, self.search_range)
        return build_fid(self.measurement, self.limits, self.site.adjustments.fid, **pulse)

    def play(
        self, program: PassProgram, kind: FidKind, number: int, before_pass: int = 0
    ) -> tuple[PassRecord, list[KeptFile]]:
        """Play and keep."""
        record = self.extra.play(program, kind, number, before_pass)
        return record, self.keep(kind, number, program, record)

    def measure(self, kind: FidKind, number: int) -> tuple[MeasuredFid, list[KeptFile]]:
        """Play an FID, keep it, and find its line. Raises as `measure_fid`."""
        fid = self.fid()
        record, files = self.play(fid.program, kind, number)
        self.last_fid = self.line_of(record, fid)
        return self.last_fid, files

    def line_of(self, record: PassRecord, fid: FidProgram) -> MeasuredFid:
        """Find the line in what was played, with the receiver of the lines before. Raises as `measure_fid`."""
        found = measure_fid(record, fid.timing, self.search_range, self.channel)
        self.channel = found.line.channel
        return found

    def settings(self) -> dict[str, Any]:
        """Give what the scanner is tuned to, for the journal."""
        tuned = self.extra.player.tuned
        return {
            "receiver_frequency_Hz": self.working_frequency if tuned.frequency is None else tuned.frequency,
            "receiver_gain_dB": self.scanner.status().receiver_gain,
        }

    def adjusted(self, kind: FidKind, values: dict[str, Any], files: list[KeptFile]) -> None:
        """Write one adjustment into the journal."""
        now = self.clock.now()
        facts = {"kind": kind, "epoch": self.extra.epoch, "time_s": now, **self.settings()}
        self.log(now, "adjusted", **facts, values=values, files=files)

    def memory(self) -> SiteMemory:
        """Recall what is known of this device. Raises `DamagedDataError`."""
        return read_memory(self.runs_dir, self.scanner.identify().device)

    def remember(self, memory: SiteMemory) -> None:
        """Remember it for the next run. Raises `StorageError`."""
        write_memory(self.runs_dir, memory)


def attempt(name: CheckName, limit: str, work: Callable[[], Check]) -> Check:
    """Do `work`; what it cannot find is a failed check with its own kind of error."""
    try:
        return work()
    except AdjustmentError as error:
        return Check(name, "FID", "no value", limit, Verdict.FAILED, str(error), type(error))


def not_made(name: CheckName, why: str, limit: str = "") -> Check:
    """Say that a check was not made, and why."""
    return Check(name, "scanner", f"not made: {why}", limit or "asked for by the site file", Verdict.NOT_MADE)
