"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import Spectrum
from knightshift.reconstruction.relaxometry import RicherFit, T2Fit
from knightshift.reconstruction.relaxometry.misfit import Misfit, misfit_of_t2
from knightshift.reconstruction.relaxometry.populations import Populations
from knightshift.reconstruction.report.night import Night
from knightshift.reconstruction.report.spectrum_figure import FrequencyDrift
from knightshift.reconstruction.running_snr import RunningSnr

_BI_EXPONENTIAL = 4
"""Parameters of two exponentials."""


@dataclass(frozen=True)
class RejectedPass:
    """A pass that did not enter the images."""

    index: int
    """Number of the pass from 0."""
    reason: str
    """Why."""
    cost: float
    """Scanner time it took [s]."""
    time: float | None = None
    """When: seconds since the Unix epoch (UTC)."""
    replaced: bool = False
    """Whether the pass was acquired again, so that only time was lost."""


@dataclass(frozen=True)
class RunFacts:
    """What a report says about a run."""

    run_id: str
    """Name of the run."""
    protocol: Mapping[str, Any]
    """The protocol as plain data, SI units."""
    passes_planned: int
    """Passes of the whole run."""
    passes_used: int
    """Passes in the images."""
    started: float | None
    """Start of the first pass, seconds since the Unix epoch (UTC); None before there is one."""
    finished: float | None
    """End of the last pass."""
    acquiring: float
    """Time within passes, rejected ones included [s]."""
    resumes: int
    """How often the run was interrupted and went on."""
    rejected: tuple[RejectedPass, ...] = ()
    """Passes that were measured and not used."""
    passes_committed: int | None = None
    """Passes that are there, with or without weight; None: those used and those rejected."""
    programs_used: tuple[tuple[int, int], ...] = ()
    """Passes used, and passes there, of each program of the run in turn (for a stepped echo time: of each echo)."""
    night: Night = field(default_factory=Night)
    """What the journal tells beyond that."""
    resume_command: str = ""
    """What continues the run; empty where there is nothing to continue, or nobody knows."""
    scanner: str = ""
    """Backend, device and version."""
    sample: str = ""
    """Name of the simulated sample; empty for a real one."""
    virtual_clock: bool = False
    """Whether the time stamps are those of a virtual clock."""
    seed: int | None = None
    """Seed of the simulated scanner."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Software that wrote the run."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the manifest and of each program, by name."""

    @property
    def protocol_name(self) -> str:
        """What the protocol calls itself."""
        return str(self.protocol.get("name", "unnamed"))

    @property
    def passes_got(self) -> int:
        """Passes that are there, with or without weight."""
        lost = sum(not rejected.replaced for rejected in self.rejected)
        return self.passes_used + lost if self.passes_committed is None else self.passes_committed

    @property
    def complete(self) -> bool:
        """Whether every pass of the plan is there."""
        return self.passes_got >= self.passes_planned

    @property
    def duration(self) -> float | None:
        """From the start of the first pass to the end of the last, interruptions included [s]."""
        return None if self.started is None or self.finished is None else self.finished - self.started


@dataclass(frozen=True)
class ComparedRun:
    """Another run, fitted in the same way, to hold beside the one that is reported."""

    title: str
    """What to call it."""
    series: ImageSeries
    """Its images."""
    fit: T2Fit
    """Its T2."""
    populations: Populations
    """Its bulk and isolated regions."""


@dataclass(frozen=True)
class ReportInputs:
    """All that a report shows; only the images are needed."""

    series: ImageSeries
    """The images."""
    title: str
    """Heading of the report."""
    fit: T2Fit | None = None
    """T2 of every voxel of `series`; None for a single echo."""
    populations: Populations | None = None
    """Bulk and isolated regions of `fit`."""
    richer: RicherFit | None = None
    """A decay of more than one exponential, compared with `fit` voxel by voxel; None: not asked for."""
    run: RunFacts | None = None
    """How the run went; None for raw data of other consoles."""
    spectrum: Spectrum | None = None
    """A spectrum of the same sample."""
    drift: FrequencyDrift | None = None
    """Resonance frequency over the run."""
    running_snr: RunningSnr | None = None
    """How the signal-to-noise ratio grew through the run."""
    with_distributions: bool = False
    """Whether to show distributions of T2 in the regions too."""
    compared: ComparedRun | None = None
    """Another run to hold beside this one."""
    t2_range: tuple[float, float] | None = None
    """Ends of the T2 colour bar and axis [s], so that two reports compare; None: chosen from the data."""

    def __post_init__(self) -> None:
        shape = self.series.images.shape[1:]
        if self.fit is not None and self.fit.t2.shape != shape:
            raise ShapeError(f"the T2 map has shape {self.fit.t2.shape}, the images {shape}: fit these images")
        if self.populations is not None and self.fit is None:
            raise InputError("populations without the T2 fit they were found in: give fit too")
        if self.richer is not None and (self.fit is None or self.richer.t2.shape != shape):
            raise InputError("a richer model without the T2 fit that it was compared with: give fit too")
        if self.t2_range is not None and not 0 <= self.t2_range[0] < self.t2_range[1]:
            raise InputError(f"t2_range {self.t2_range} s is empty or negative: give e.g. (0.0, 0.02)")
        if self.compared is not None and self.populations is None:
            raise InputError("a run to compare with, but no regions of T2 to compare: both need several echo times")

    @cached_property
    def misfit(self) -> Misfit | None:
        """Whether the residuals of `fit` are systematic; None where that cannot be told."""
        return None if self.fit is None else misfit_of_t2(self.fit)

    @property
    def misfit_sentence(self) -> str:
        """Say by how much the residuals depart from the fitted curve, and what to try; empty where they do not."""
        if self.misfit is None or self.fit is None:
            return ""
        options, remedy = self.fit.options, "try --model bi"
        only_one = options.offset != "none" or options.train is not None
        if self.richer is not None or len(self.fit.echo_times) <= _BI_EXPONENTIAL or only_one:
            remedy = ""
        elif options.estimator == "rician":
            remedy = "try --estimator gaussian --model bi"
        sentence = self.misfit.sentence(remedy)
        return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""
