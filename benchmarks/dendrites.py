"""False dendrites and the detection curve: ``python benchmarks/dendrites.py [--nights N]``.

The shipped cells are played once without noise on the simulated scanner; each night then gets noise of its own, as
strong as makes the magnitude of the dendrite at the last echo so many times the noise of the real part.

A region counts as the dendrite if it overlaps the box of the phantom's dendrite, else as false. "no dendrite" is the
shorted cell with its broad T2 and its flake of short T2, the dendrite taken out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from knightshift.acquisition import acquire
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.yaml_files import as_plain
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.simulated import load_phantom
from knightshift.hardware.site import load_site
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.relaxometry import find_populations, fit_series
from knightshift.sequences import build, load_protocol

NOMINAL = 4.1  # the shipped scanner after the whole night
CURVE = (8.0, 6.0, 5.0, 3.0, 2.5, 2.0, 1.5, 1.0)


def clean_images(protocol: str, cell: str, without: str = "") -> ImageSeries:
    """Two passes of each echo, with noise too faint to matter, reconstructed from the run."""
    site = load_site("simulated")
    quiet = dict(site.settings)
    quiet["receiver"] = quiet["receiver"] | {"noise_density": 1e-10}
    sample = as_plain(load_phantom(cell))
    sample["compartments"] = [body for body in sample["compartments"] if body["name"] != without]
    short = load_protocol(protocol).model_copy(update={"duration": None, "averages": 2})
    site = site.model_copy(update={"settings": quiet})
    clock = VirtualClock()
    with tempfile.TemporaryDirectory() as folder:
        scanner = open_scanner(site, clock=clock, phantom=sample, seed=1)
        run = acquire(build(short, site.limits), scanner, Path(folder), setup=RunSetup(), clock=clock)
        return reconstruct(run.path)


def noisy(clean: ImageSeries, sigma: float, seed: int) -> ImageSeries:
    random = np.random.default_rng(seed)
    noise = sigma * (random.normal(size=clean.images.shape) + 1j * random.normal(size=clean.images.shape))
    values = {name: getattr(clean, name) for name in clean.__dataclass_fields__}
    return ImageSeries(**values | {"images": clean.images + noise, "noise_std": np.full(len(clean.images), sigma)})


def dendrite_box(clean: ImageSeries) -> np.ndarray:
    """Voxels whose centre lies in the dendrite, shape ``image``."""
    (truth,) = [region for region in load_phantom("shorted").regions() if region.name == "dendrite"]
    index = np.indices(clean.images.shape[1:]).reshape(3, -1)
    _, y, z, _ = clean.geometry.affine @ np.vstack([index, np.ones(index.shape[1])])
    return truth.contains(y, z).reshape(clean.images.shape[1:])


def campaign(clean: ImageSeries, box: np.ndarray, sigma: float, nights: int, first_seed: int) -> str:
    found = false = 0
    medians, sizes = [], []
    for seed in range(first_seed, first_seed + nights):
        night = noisy(clean, sigma, seed)
        populations = find_populations(fit_series(night), night.geometry)
        masks = [populations.mask(number) for number in range(len(populations.isolated))]
        real = [region for region, mask in zip(populations.isolated, masks, strict=True) if (mask & box).any()]
        found, false = found + bool(real), false + any(not (mask & box).any() for mask in masks)
        medians += [1e3 * region.t2_median for region in real[:1]]
        sizes += [region.n_voxels for region in real[:1]]
    words = f"{nights:6d} {found:6d} {false:6d}"
    if not medians:
        return words
    low, middle, high = np.quantile(medians, [0.1, 0.5, 0.9])
    return f"{words}   {middle:6.2f} ({low:.1f} to {high:.1f}) ms, {np.median(sizes):.0f} voxels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--protocol", default="overnight_t2")
    arguments = parser.parse_args()
    cells = {
        "pristine": clean_images(arguments.protocol, "pristine"),
        "no dendrite": clean_images(arguments.protocol, "shorted", without="dendrite"),
        "shorted": clean_images(arguments.protocol, "shorted"),
    }
    box = dendrite_box(cells["shorted"])
    level = float(np.median(np.abs(cells["shorted"].images[-1][box])))
    print(
        f"{arguments.protocol}: cell, SNR of the dendrite at the last echo, nights, with the dendrite, with a false one"
    )
    for name, clean in cells.items():
        print(f"{name:12} {NOMINAL:5.1f} {campaign(clean, box, level / NOMINAL, arguments.nights, 0)}", flush=True)
    for snr in CURVE:
        words = campaign(cells["shorted"], box, level / snr, max(1, arguments.nights // 4), 10_000)
        print(f"{'shorted':12} {snr:5.1f} {words}", flush=True)


if __name__ == "__main__":
    main()
