"""Options that choose how relaxation times are fitted, with their help: the same for `fit` and `batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FitEstimator = Annotated[
    str | None, typer.Option("--estimator", help="For images: complex (the default), rician or gaussian.")
]
FitOffset = Annotated[
    str | None,
    typer.Option(
        "--offset", help="Images: none (the default), noise, noise-quadrature, free. Spectra: auto, none, free."
    ),
]
FitExperiment = Annotated[
    str | None,
    typer.Option("--experiment", help="For spectra: 'inversion recovery', 'saturation recovery', T1rho or T2."),
]
FitLoopTime = Annotated[
    str | None, typer.Option("--loop-time", metavar="TIME", help="For spectra with a vclist: time of one loop, '4 ms'.")
]
FitRegions = Annotated[
    list[str] | None,
    typer.Option("--region", metavar="RANGE", help="For spectra: integrate '0.8 to 0.9 ppm'; may be repeated."),
]
FitDelays = Annotated[
    str | None,
    typer.Option(
        "--delays",
        metavar="LIST",
        help="Delay of every spectrum, or echo time of every image, where no file has them: '10 ms, 90 ms', or a file.",
    ),
]
FitEchoTrain = Annotated[
    str | None,
    typer.Option("--echo-train", metavar="TRAIN", help="For FIDs that are echoes of one train: '128 x 300 us'."),
]
Noise = Annotated[
    float | None,
    typer.Option("--noise", metavar="SIGMA", help="Noise of the real part of the images, in their units."),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask", metavar="FILE", help="Fit only inside: NIfTI on our images.nii.gz, .npy or HDF5; not 0 is in."
    ),
]
B1 = Annotated[
    str | None,
    typer.Option(
        "--b1",
        metavar="B1",
        help="Echo trains: B1 over the nominal one: a map (a file as for --mask), a number, or fit (per voxel).",
    ),
]
T1 = Annotated[
    str | None,
    typer.Option("--t1", metavar="T1", help="Echo trains: T1, '120 ms' or a map [s]; of Na and Li metal it is known."),
]
DecayModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Images: mono (the default), or beside it bi, bi-60-40 (spin 3/2) or stretched, and which is better.",
    ),
]
