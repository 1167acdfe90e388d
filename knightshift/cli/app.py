"""The commands and their options. What they do is in the modules beside this one, imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knightshift.cli.fit_options import (
    B1,
    T1,
    DecayModel,
    FitDelays,
    FitEchoTrain,
    FitEstimator,
    FitExperiment,
    FitLoopTime,
    FitOffset,
    FitRegions,
    Mask,
    Noise,
)
from knightshift.cli.output_folder import Output
from knightshift.cli.plan_options import (
    PlanAverages,
    PlanDuration,
    PlanFromRun,
    PlanOptimise,
    PlanRuns,
    PlanStart,
    PlanT2,
    PlanUntil,
    Zone,
)
from knightshift.cli.preview_command import add_to as add_preview_command
from knightshift.cli.queue_commands import add_to as add_queue_commands
from knightshift.cli.queue_options import Notify
from knightshift.cli.sequence_commands import add_to as add_sequence_commands
from knightshift.cli.stop_options import MinPasses, StopChoices, StopFile, StopWhen
from knightshift.cli.watch_commands import add_to as add_watch_commands

app = typer.Typer(
    name="knightshift",
    help="Overnight T2 imaging of sodium batteries: from a protocol to a T2 map, and nothing of the night can be lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Protocol = Annotated[
    str, typer.Argument(metavar="PROTOCOL", help="A YAML file, or the name of a shipped protocol (overnight_t2).")
]
Scanner = Annotated[
    str, typer.Option("--scanner", metavar="SCANNER", help="A site file, or the name of a shipped scanner.")
]
Phantom = Annotated[
    str | None,
    typer.Option("--phantom", metavar="PHANTOM", help="Sample in the simulated scanner: a file, pristine or shorted."),
]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder that holds the runs.")]
Source = Annotated[
    Path, typer.Argument(metavar="PATH", help="A run of ours, a raw scan folder of a console, or a folder of images.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of one run.")]
Estimator = Annotated[
    str | None, typer.Option("--estimator", help="complex (unbiased, the default), rician or gaussian (magnitudes).")
]
RecipeFile = Annotated[
    str | None, typer.Option("--recipe", metavar="FILE", help="Steps to take, in YAML, or a shipped name (plain).")
]
Memory = Annotated[
    int | None, typer.Option("--memory-mb", metavar="MB", help="Memory to take; by default half of what is free.")
]
Offset = Annotated[
    str | None,
    typer.Option("--offset", help="none (the default), noise (the published way), noise-quadrature or free."),
]


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"knightshift {version('knightshift')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Overnight T2 imaging of sodium batteries: from a protocol to a T2 map, and nothing of the night can be lost."""


@app.command(epilog="Example: knightshift plan overnight_t2 --until 08:30 --from-run runs/20260105-190000-quick_look")
def plan(  # noqa: PLR0913, PLR0917 - one parameter an option
    protocol: Protocol,
    scanner: Scanner = "simulated",
    duration: PlanDuration = None,
    until: PlanUntil = None,
    averages: PlanAverages = None,
    start: PlanStart = None,
    zone: Zone = None,
    t2: PlanT2 = None,
    from_run: PlanFromRun = None,
    phantom: Phantom = None,
    optimise: PlanOptimise = None,
    runs: PlanRuns = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, quantities in SI units.")] = False,
) -> None:
    """Say what a protocol will take: passes, duration, finish time, duty, disk, SNR, T2 error. Nothing is played."""
    from knightshift.cli.planning import PlanChoices, print_plan

    choices = PlanChoices(
        duration=duration,
        until=until,
        averages=averages,
        start=start,
        zone=zone,
        t2=t2 or (),
        from_run=from_run,
        phantom=phantom,
        optimise=optimise,
        runs=runs,
    )
    print_plan(protocol, scanner, choices, as_json=as_json)


@app.command(epilog="Example: knightshift acquire overnight_t2 --phantom shorted --runs runs --virtual-clock --seed 1")
def acquire(  # noqa: PLR0913, PLR0917 - one parameter an option
    protocol: Protocol,
    runs: Runs,
    scanner: Scanner = "simulated",
    phantom: Phantom = None,
    virtual_clock: Annotated[
        bool, typer.Option("--virtual-clock", help="Let a simulated night pass in seconds, time stamps as in reality.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the simulated noise; drawn and recorded if not given.")
    ] = None,
    stop_when: StopWhen = None,
    stop_rules: StopFile = None,
    min_passes: MinPasses = None,
    notify: Notify = None,
) -> None:
    """Run a protocol and keep every pass. Ctrl-C stops after the pass; `resume` continues."""
    from knightshift.cli.scanning import ScanChoices, acquire_run

    rules = StopChoices(stop_when, stop_rules, min_passes).rules()
    acquire_run(protocol, runs, ScanChoices(scanner, phantom, virtual_clock, seed, rules, notify))


@app.command(epilog="Example: knightshift adjust overnight_t2 --phantom shorted --runs runs --virtual-clock --seed 1")
def adjust(
    protocol: Protocol,
    runs: Runs,
    scanner: Scanner = "simulated",
    phantom: Phantom = None,
    virtual_clock: Annotated[bool, typer.Option("--virtual-clock", help="Let simulated time jump.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the simulated noise.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Remember receiver noise and signal as what later runs must have.")
    ] = False,
) -> None:
    """Find the line, measure B1, choose the receiver gain and check noise and signal; nothing is acquired."""
    from knightshift.cli.adjusting import adjust_scanner

    adjust_scanner(
        protocol, runs, scanner=scanner, phantom=phantom, virtual_clock=virtual_clock, seed=seed, baseline=baseline
    )


@app.command(epilog="Example: knightshift resume runs/20260105-190000-overnight_t2")
def resume(
    run: Run,
    stop_when: StopWhen = None,
    stop_rules: StopFile = None,
    min_passes: MinPasses = None,
    notify: Notify = None,
) -> None:
    """Continue a run that was stopped, killed or cut off from power; its stop rules hold until they are met."""
    from knightshift.cli.scanning import resume_run

    resume_run(run, StopChoices(stop_when, stop_rules, min_passes).rules(), notify)


@app.command("notify-test", epilog="Example: knightshift notify-test ~/.config/knightshift/notify.yaml")
def notify_test(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Whom to tell, as for --notify.")],
) -> None:
    """Send a test message to every service, and a ping, and say who did not take it."""
    from knightshift.cli.telling import send_test_message

    send_test_message(file)


@app.command(epilog="Example: knightshift verify runs/20260105-190000-overnight_t2")
def verify(
    run: Run,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move what is damaged to quarantine, so that the rest can be used.")
    ] = False,
) -> None:
    """Read every file of a run and check it against its checksums; damaged passes are named."""
    from knightshift.cli.scanning import verify_run_folder

    verify_run_folder(run, set_aside=set_aside)


@app.command(epilog="Example: knightshift reconstruct archive/mouse/5 -o images")
def reconstruct(
    source: Source,
    output: Output,
    recipe: RecipeFile = None,
    memory_mb: Memory = None,
) -> None:
    """Turn raw data into complex images (NIfTI, PNG and images.h5), or FIDs into spectra (CSV, PNG)."""
    from knightshift.cli.processing import reconstruct_to

    reconstruct_to(source, output, recipe=recipe, memory_mb=memory_mb)


@app.command(epilog="Example: knightshift fit runs/20260105-190000-overnight_t2 -o maps")
def fit(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: Source,
    output: Output,
    estimator: FitEstimator = None,
    offset: FitOffset = None,
    experiment: FitExperiment = None,
    loop_time: FitLoopTime = None,
    region: FitRegions = None,
    memory_mb: Memory = None,
    noise: Noise = None,
    delays: FitDelays = None,
    echo_train: FitEchoTrain = None,
    model: DecayModel = None,
    mask: Mask = None,
    b1: B1 = None,
    t1: T1 = None,
) -> None:
    """Fit relaxation times: T2 (or T1) in every voxel of images, T1, T1rho or T2 of the peaks of spectra."""
    from knightshift.cli.fit_request import FitRequest
    from knightshift.cli.relaxing import fit_any

    of_images = estimator, offset, noise, model, mask, b1, t1
    of_spectra = experiment, loop_time, tuple(region or ()), memory_mb, delays, echo_train
    fit_any(source, output, FitRequest(*of_images, *of_spectra))


@app.command("inspect", epilog="Example: knightshift inspect archive/mouse/5")
def inspect_source(
    source: Annotated[Path, typer.Argument(metavar="PATH", help="A run of ours, or raw data of any console.")],
) -> None:
    """Say what raw data hold: format, sizes, times, frequencies, orientation, and what they do not say.

    Exit code 0: understood, also where the data are of a kind that is not read (the last line says why).

    Exit code 4: damaged, as an aborted scan is. Exit code 2: no raw data.
    """
    from knightshift.cli.inspecting import print_inspection

    print_inspection(source)


@app.command(epilog="Example: knightshift export runs/20260105-190000-overnight_t2 --to bids --to csv -o export")
def export(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: Source,
    to: Annotated[
        list[str], typer.Option("--to", metavar="FORMAT", help="bids, mrd, nifti, csv or numpy; may be repeated.")
    ],
    output: Output = Path("export"),
    subject: Annotated[str, typer.Option("--subject", metavar="LABEL", help="For BIDS: label of the sample.")] = "01",
    session: Annotated[
        str | None, typer.Option("--session", metavar="LABEL", help="For BIDS: label of the session.")
    ] = None,
    estimator: Estimator = None,
    offset: Offset = None,
    noise: Noise = None,
    model: DecayModel = None,
    mask: Mask = None,
    b1: B1 = None,
    t1: T1 = None,
) -> None:
    """Write images, T2 map, masks, regions or k-space in the formats of other programs."""
    from knightshift.cli.exporting import ExportChoices, export_to
    from knightshift.cli.fit_request import ImageChoices

    images = ImageChoices(estimator, offset, noise, model, mask, b1, t1)
    export_to(source, to, output, ExportChoices(subject, session, images))


@app.command(epilog="Example: knightshift batch archive runs -o results --workers 8")
def batch(  # noqa: PLR0913, PLR0917 - one parameter an option
    sources: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders to search for scans, or single scans or images.")
    ],
    output: Output = Path("batch"),
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="A Dask cluster that is there: tls://host:8786."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Processes on this machine.")] = 2,
    recipe: RecipeFile = None,
    estimator: FitEstimator = None,
    offset: FitOffset = None,
    experiment: FitExperiment = None,
    loop_time: FitLoopTime = None,
    region: FitRegions = None,
    memory_mb: Annotated[
        int, typer.Option("--memory-mb", metavar="MB", help="Memory a worker may take to fit a slab of a volume.")
    ] = 1024,
    noise: Noise = None,
    delays: FitDelays = None,
    echo_train: FitEchoTrain = None,
    model: DecayModel = None,
    mask: Mask = None,
    b1: B1 = None,
    t1: T1 = None,
) -> None:
    """Reconstruct and fit a whole archive, several scans at a time; what is done is not done again.

    The options of spectra are those of `fit`. Experiment, delays, loop time and echo train fill in what a scan does not
    say itself; spectra that still cannot be fitted are drawn, and the reason is told. A mask or map of B1 or T1 is one
    file for all scans, or a folder with one of the name of each: masks/archive/5.nii.gz.
    """
    from knightshift.cli.batching import BatchChoices, batch_to
    from knightshift.cli.fit_request import FitRequest

    of_images = estimator, offset, noise, model, mask, b1, t1
    of_spectra = experiment, loop_time, tuple(region or ()), memory_mb, delays, echo_train
    batch_to(sources, output, BatchChoices(scheduler, workers, recipe, FitRequest(*of_images, *of_spectra)))


@app.command(epilog="Example: knightshift report runs/20260105-190000-overnight_t2 -o report")
def report(  # noqa: PLR0913, PLR0917 - the options of a command
    source: Source,
    output: Output,
    spectrum: Annotated[
        Path | None, typer.Option("--spectrum", metavar="RUN", help="A run of a spectrum of the same cell.")
    ] = None,
    estimator: Estimator = None,
    offset: Offset = None,
    noise: Noise = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="OTHER", help="A run, scan or folder of images to hold beside this one."),
    ] = None,
    distributions: Annotated[
        bool, typer.Option("--distributions", help="Show the distribution of T2 in each population too.")
    ] = False,
    model: DecayModel = None,
    mask: Mask = None,
    b1: B1 = None,
    t1: T1 = None,
) -> None:
    """Write the report of a run, a scan or images: the night, figures, maps, summary.json; one HTML file to mail."""
    from knightshift.cli.fit_request import ImageChoices
    from knightshift.cli.processing import ReportChoices, report_to

    images = ImageChoices(estimator, offset, noise, model, mask, b1, t1)
    report_to(source, output, ReportChoices(images, spectrum, compare=compare, distributions=distributions))


@app.command(epilog="Example: knightshift demo -o demo")
def demo(
    output: Output = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the simulated noise.")] = 1,
) -> None:
    """Play a whole night for both cells, pristine and shorted, on the simulated scanner, and report both."""
    from knightshift.cli.demonstration import run_demo

    run_demo(output, seed=seed)


add_sequence_commands(app)
add_queue_commands(app)
add_preview_command(app)
add_watch_commands(app)
