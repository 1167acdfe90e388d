"""A run in Python, step by step, as one would type it into a notebook.

    python examples/tour_of_a_run.py runs/20260105-190000-overnight_t2 tour

prints what it finds and writes two figures. Needs the extra: ``pip install 'knightshift[xarray]'``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import knightshift as ks


def tour(run_folder: Path, output: Path) -> None:
    """Look at the passes, the images and the T2 map of a run."""
    output.mkdir(parents=True, exist_ok=True)

    # %% What was measured
    run = ks.open_run(run_folder)
    print(run)
    passes = run.passes
    used = int((passes.flags == "").sum())
    drift = float(passes.frequency.max() - passes.frequency.min())
    print(f"{used} of {passes.sizes['pass']} passes are used; the frequency moved by {drift:.1f} Hz")

    # %% The images: complex, labelled, positions in metres, echo times in seconds
    images = run.images
    first = abs(images).isel(echo_time=0).squeeze("x")
    snr = float(first.max() / images.noise_std[0])
    print(f"axes {images.dims}, SNR of the brightest voxel in the first echo {snr:.0f}")

    # %% The decay of the brightest voxel
    brightest = {axis: int(index) for axis, index in first.argmax(dim=("z", "y")).items()}
    decay = abs(images).squeeze("x").isel(brightest)
    for echo_time, value in zip(1e3 * decay.echo_time.values, decay.values / decay.values[0], strict=True):
        print(f"  {echo_time:5.1f} ms  {value:.2f}")

    # %% The T2 map, with its uncertainty and the reason where there is none
    maps = run.t2_map()
    known = maps.t2.where(maps.t2_std < 0.25 * maps.t2)
    print(f"median T2 {1e3 * float(known.median()):.1f} ms in {int(known.notnull().sum())} well-known voxels")
    upper = maps.t2.sel(z=slice(0, None))
    print(f"median T2 above the isocentre {1e3 * float(upper.median()):.1f} ms")

    # %% Bulk, electrodes, and isolated regions of long T2
    found = run.populations()
    for region in (*found.electrodes, *found.isolated):
        print(f"{region.name}: {region.n_voxels} voxels, median T2 {1e3 * region.t2_median:.1f} ms")

    # %% Figures, and the numbers for another program
    save(first, output / "first_echo.png", "signal (arbitrary)")
    save(1e3 * maps.t2.squeeze("x"), output / "t2.png", "T2 (ms)")
    run.export(output / "numpy", "numpy")
    assert np.load(output / "numpy" / "t2.npy").shape == maps.t2.shape


def save(image: object, path: Path, label: str) -> None:
    """Draw a labelled image: its axes know their names and positions."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    image.plot(ax=axes, cbar_kwargs={"label": label})  # type: ignore[attr-defined]
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    tour(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "tour"))
