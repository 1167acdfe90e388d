"""From acquired lines to images: apodise, place on the grid, transform, crop, combine receivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray, RealArray
from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft import centered_ifft2

Apodisation = Literal["none", "hamming", "tukey", "gaussian"]


@dataclass(frozen=True)
class Placement:
    """Where acquired lines lie on the grid of the Fourier transform."""

    line_steps: IntArray
    """Phase-encode step of each line, 0 at k = 0, shape ``(line,)``."""
    center_sample: int
    """Sample at k = 0."""
    grid: tuple[int, int]
    """Points along ``(phase_encode, readout)``; those not acquired are zero."""
    matrix: tuple[int, int]
    """Voxels along ``(phase_encode, readout)`` to keep from the middle."""
    n_samples: int | None = None
    """Samples of a line, where known before k-space is."""


def apodisation_window(kind: Apodisation, steps: IntArray) -> RealArray:
    """Window over k-space steps, 1 at k = 0 and symmetric about it.

    Parameters
    ----------
    kind
        ``none``, ``hamming`` (0.54 + 0.46 cos), ``tukey`` (flat in the inner half, cosine outside) or ``gaussian``
        (0.135 at the edge).
    steps
        Signed steps from k = 0, shape ``(k,)``.
    """
    edge = max(1, int(np.max(np.abs(steps))))
    u = np.abs(steps) / edge
    if kind == "hamming":
        return np.asarray(0.54 + 0.46 * np.cos(np.pi * u))
    if kind == "tukey":
        return np.where(u < 0.5, 1.0, 0.5 + 0.5 * np.cos(2 * np.pi * (u - 0.5)))
    if kind == "gaussian":
        return np.asarray(np.exp(-2.0 * u**2))
    return np.ones(len(steps))


def windows_of(kind: Apodisation, placement: Placement, n_samples: int) -> tuple[RealArray, RealArray]:
    """Apodisation along the acquired lines and along the samples of one line."""
    samples = np.arange(n_samples) - placement.center_sample
    return apodisation_window(kind, placement.line_steps), apodisation_window(kind, samples)


def rms(window: RealArray) -> float:
    """Root mean square of a window: what an apodisation leaves of white noise."""
    return float(np.sqrt(np.mean(np.square(window))))


def make_images(
    kspace: ComplexArray,
    placement: Placement,
    apodisation: Apodisation = "none",
    shift: tuple[float, float] = (0.0, 0.0),
    normalise_to: Literal["acquired", "grid"] = "acquired",
) -> ComplexArray:
    """Reconstruct images of one slice: an inverse FFT of k-space with everything that was not acquired as zero.

    Parameters
    ----------
    kspace
        Shape ``(..., line, sample)``.
    placement
        Where the lines lie.
    apodisation
        Window over what was acquired.
    shift
        Cyclic shift along ``(phase_encode, readout)`` [voxels of the grid].
    normalise_to
        Divide the sum over k-space by the number of acquired points, so that zero filling does not change the scale, or
        by that of the grid, as ParaVision 6 and 360 do.

    Returns
    -------
    ComplexArray
        Shape ``(..., phase_encode, readout)``, the matrix of `placement`.

    Raises
    ------
    ShapeError
        If the lines do not fit the grid.
    """
    grid = place_on_grid(kspace, placement, apodisation, normalise_to=normalise_to)
    return crop_center(centered_ifft2(grid, shifts=shift if any(shift) else None, out=grid), placement.matrix)


def place_on_grid(
    kspace: ComplexArray,
    placement: Placement,
    apodisation: Apodisation = "none",
    *,
    normalise_to: Literal["acquired", "grid"] = "acquired",
) -> ComplexArray:
    """Put lines on the grid, apodised and scaled, everything that was not acquired zero; see `make_images`.

    Returns
    -------
    ComplexArray
        Shape ``(..., k_phase, k_read)``.

    Raises
    ------
    ShapeError
        If the lines do not fit the grid.
    """
    *outer, n_lines, n_samples = kspace.shape
    n_phase, n_read = placement.grid
    rows = placement.line_steps + n_phase // 2
    start = n_read // 2 - placement.center_sample
    if len(rows) != n_lines or rows.min() < 0 or rows.max() >= n_phase or start < 0 or start + n_samples > n_read:
        raise ShapeError(
            f"{n_lines} lines of {n_samples} samples (k = 0 at {placement.center_sample}) do not fit a grid of "
            f"{placement.grid} points: make the grid larger"
        )
    along_lines, along_samples = windows_of(apodisation, placement, n_samples)
    scale = n_phase * n_read / (n_lines * n_samples) if normalise_to == "acquired" else 1.0
    dtype = np.complex64 if kspace.dtype == np.complex64 else np.complex128
    is_full = (n_lines, n_samples) == (n_phase, n_read)
    grid = (np.empty if is_full else np.zeros)((*outer, n_phase, n_read), dtype)
    window = (scale * along_lines[:, np.newaxis] * along_samples).astype(grid.real.dtype)
    samples = slice(start, start + n_samples)
    if np.all(np.diff(rows) == 1):
        np.multiply(kspace, window, out=grid[..., rows[0] : rows[0] + n_lines, samples])
    else:
        grid[..., rows, samples] = kspace * window
    return grid


def crop_center(images: ComplexArray, matrix: tuple[int, int]) -> ComplexArray:
    """Keep the middle of the last two axes, so that index ``N // 2`` stays the isocentre."""
    rows, columns = (n // 2 - m // 2 for n, m in zip(images.shape[-2:], matrix, strict=True))
    return images[..., rows : rows + matrix[0], columns : columns + matrix[1]]
