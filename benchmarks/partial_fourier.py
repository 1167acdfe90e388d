"""How near a partly acquired k-space comes to the whole image: full scans cut short, completed by each method.

Run ``python benchmarks/partial_fourier.py SCAN …`` with raw data of any console that were acquired in full. What is
printed is the relative error of the magnitudes (root mean squares), for 55, 60 and 70 % of each line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.steps.partial_fourier import AcquiredRange, console_pocs, homodyne, pocs

SHARES = (0.55, 0.6, 0.7)
MOST_SLICES = 4
METHODS: dict[str, Callable[[np.ndarray, AcquiredRange], np.ndarray]] = {
    "zeros": lambda kspace, _: centered_ifft(kspace, n_axes=1),
    "homodyne": homodyne,
    "pocs": pocs,
    "console": console_pocs,
}


def kspace_of(images: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(images, axes=-1), axis=-1), axes=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    print(f"{'scan':<28} {'method':<10} " + " ".join(f"{share:>7.0%}" for share in SHARES))
    for path in parser.parse_args().scans:
        truth = reconstruct(path).images[-1, :MOST_SLICES].astype(np.complex128)
        n = truth.shape[-1]
        for name, complete in METHODS.items():
            errors = []
            for share in SHARES:
                start = n - round(share * n)
                kspace = kspace_of(truth)
                kspace[..., :start] = 0
                image = complete(kspace, AcquiredRange(n, start, n))
                errors.append(np.linalg.norm(np.abs(image) - np.abs(truth)) / np.linalg.norm(truth))
            print(f"{path.name[-28:]:<28} {name:<10} " + " ".join(f"{error:7.4f}" for error in errors))


if __name__ == "__main__":
    main()
