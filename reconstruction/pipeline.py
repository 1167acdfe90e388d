"""The steps of a recipe in their order, from sorted k-space to images, each with its sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import ShapeError
from knightshift.reconstruction.cleaned_kspace import cleaned_kspace
from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.gridding import Placement, crop_center, make_images, place_on_grid
from knightshift.reconstruction.kspace import KSpaceSlices, PartialFourier, Partitions
from knightshift.reconstruction.partitions import transform_partitions
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.steps.echo_phase import align_even_echoes
from knightshift.reconstruction.steps.partial_fourier import AcquiredRange, console_pocs, homodyne, pocs
from knightshift.reconstruction.steps.receivers import adaptive_combination, root_sum_of_squares
from knightshift.reconstruction.storage import IN_MEMORY, Storage


@dataclass(frozen=True)
class Layout:
    """Where the samples of a k-space ``(echo, slice, channel, line, sample)`` belong, and how it was completed."""

    placement: Placement
    """Lines and samples on the grid."""
    shifts: RealArray
    """Cyclic shift along ``(phase_encode, readout)`` [voxels of the grid], shape ``(slice, 2)``."""
    on_scale_of_grid: bool = False
    """Divide by the points of the grid, as ParaVision does, rather than by those acquired."""
    partial_fourier: PartialFourier = "none"
    """How the console completes it."""
    completed_axes: tuple[bool, bool] | None = None
    """Along which of ``(phase_encode, readout)`` the console completes; None: where k-space is partial."""
    partitions: Partitions | None = None
    """For 3D scans."""
    swapped: BoolArray | None = None
    """In which slices rows and columns of the image are swapped, shape ``(slice,)``; None: in none."""


@dataclass(frozen=True)
class Reconstruction:
    """Images and what was done."""

    images: ComplexArray
    """Shape ``(echo, slice, phase_encode, readout)``; a data set of an HDF5 file where they are larger than memory."""
    sentences: tuple[str, ...] = field(default=())
    """One for each step that was taken."""


def images_of_kspace(
    kspace: KSpaceSlices, layout: Layout, recipe: Recipe, storage: Storage = IN_MEMORY
) -> Reconstruction:
    """Apply the steps of `recipe`, denoising excepted, which needs the noise of the images.

    Parameters
    ----------
    kspace
        Shape ``(echo, slice, channel, line, sample)``; of a 3D scan, its partitions are the slices. Not changed.
    layout
        Where the samples belong.
    recipe
        The steps.
    storage
        Where the images go, and a 3D k-space while it is transformed.

    Raises
    ------
    ShapeError
        If k-space does not fit its layout.
    InputError
        If a step is not possible on these data.
    StorageError
        If `storage` has no room.
    """
    kspace, sentences = cleaned_kspace(kspace, layout.placement.line_steps, recipe, storage.slab_bytes)
    images = _array_for_images(kspace, layout, storage)
    hybrid: Any = kspace
    if layout.partitions is not None:
        hybrid = transform_partitions(kspace, layout.partitions, images, storage, to_grid=layout.on_scale_of_grid)
        sentences.append("The partitions were transformed along the slice axis (3D).")
    swapped = np.zeros(images.shape[1], bool) if layout.swapped is None else layout.swapped
    _transform_planes(hybrid, images, layout, (recipe, swapped, storage.slab_bytes))
    sentences += _transform_sentences(kspace.shape, layout, recipe, _completion(layout, recipe))
    if recipe.align_even_echoes:
        constant, slope = align_even_echoes(images, along_rows=bool(swapped.any()))
        sentences.append(
            f"Even echoes were given the phase of the odd ones ({constant:.3g} rad and {slope:.3g} rad a voxel)."
        )
    return Reconstruction(images, tuple(sentences))


def _transform_planes(hybrid: Any, images: Any, layout: Layout, how: tuple[Recipe, BoolArray, int]) -> None:
    """Make the images slice by slice; k-space is read in slabs of so many bytes."""
    recipe, swapped, slab_bytes = how
    combine: Callable[[ComplexArray], ComplexArray]
    combine = adaptive_combination if recipe.combination == "adaptive" else root_sum_of_squares
    n_slices = images.shape[1]
    shifts = np.broadcast_to(layout.shifts, (n_slices, 2)) + np.asarray(recipe.shift)
    step = max(1, slab_bytes // _slice_bytes(hybrid))
    for first in range(0, n_slices, step):
        slab = hybrid[:, first : min(first + step, n_slices)]
        for index, shift in enumerate(shifts[first : first + step].tolist(), start=first):
            one = combine(_channel_images(slab[:, index - first], layout, recipe, (shift[0], shift[1])))
            images[:, index] = one.swapaxes(-1, -2) if swapped[index] else one


def _slice_bytes(kspace: KSpaceSlices) -> int:
    """Size of one slice of all echoes."""
    n_echoes, _, *one = kspace.shape
    return max(1, n_echoes * math.prod(one) * kspace.dtype.itemsize)


def _array_for_images(kspace: KSpaceSlices, layout: Layout, storage: Storage) -> Any:
    """Array for the images of all slices, shape ``(echo, slice, phase_encode, readout)``."""
    n_echoes, n_slices, *_ = kspace.shape
    n_slices = n_slices if layout.partitions is None else layout.partitions.matrix
    matrix = layout.placement.matrix
    if layout.swapped is not None and layout.swapped.any():
        if not layout.swapped.all() and matrix[0] != matrix[1]:
            raise ShapeError(f"images of {matrix} voxels cannot be one series: rows and columns of some are swapped")
        matrix = matrix[1], matrix[0]
    if 0 in (n_echoes, n_slices):
        raise ShapeError(f"k-space of shape {kspace.shape} has no slices")
    dtype = np.complex64 if kspace.dtype == np.complex64 else np.complex128
    return storage.images((n_echoes, n_slices, *matrix), dtype)


def _channel_images(kspace: ComplexArray, layout: Layout, recipe: Recipe, shift: tuple[float, float]) -> ComplexArray:
    """Images of each receiver of one slice, shape ``(echo, channel, phase_encode, readout)``."""
    method, axes = _completion(layout, recipe)
    scale: Literal["acquired", "grid"] = "grid" if layout.on_scale_of_grid else "acquired"
    if method == "zero_filling" or not any(axes):
        return make_images(kspace, layout.placement, recipe.apodisation, shift, normalise_to=scale)
    grid = place_on_grid(kspace, layout.placement, recipe.apodisation, normalise_to=scale)
    for axis, moved in zip((-2, -1), shift, strict=True):
        if moved:
            grid = np.moveaxis(np.moveaxis(grid, axis, -1) * _ramp(grid.shape[axis], moved, grid.dtype), -1, axis)
    along_lines, along_samples = acquired_ranges(layout.placement, kspace.shape[-1])
    hybrid = np.ascontiguousarray(np.moveaxis(grid, -2, -1))  # phase encoding first, as the console does
    hybrid = _completed(hybrid, along_lines, recipe, method if axes[0] else "zero_filling")
    images = np.ascontiguousarray(np.moveaxis(hybrid, -1, -2))
    images = _completed(images, along_samples, recipe, method if axes[1] else "zero_filling")
    return crop_center(images, layout.placement.matrix)


def _completed(kspace: ComplexArray, acquired: AcquiredRange, recipe: Recipe, method: str) -> ComplexArray:
    """Complete and transform the last axis."""
    if method == "pocs":
        options = recipe.partial_fourier
        return pocs(kspace, acquired, iterations=options.iterations, tolerance=options.tolerance)
    if method == "console_pocs":
        return console_pocs(kspace, acquired)
    if method == "homodyne":
        return homodyne(kspace, acquired)
    return centered_ifft(kspace, n_axes=1)


def _ramp(length: int, shift: float, dtype: np.dtype[np.complexfloating]) -> ComplexArray:
    """Factor over k that shifts the image by `shift` voxels."""
    k = np.arange(length) - length // 2
    return np.asarray(np.exp(-2j * np.pi * k * shift / length).astype(dtype))


def acquired_ranges(placement: Placement, n_samples: int) -> tuple[AcquiredRange, AcquiredRange]:
    """Which points of the grid were acquired along ``(phase_encode, readout)``."""
    rows = placement.line_steps + placement.grid[0] // 2
    start = placement.grid[1] // 2 - placement.center_sample
    return (
        AcquiredRange(placement.grid[0], int(rows.min()), int(rows.max()) + 1),
        AcquiredRange(placement.grid[1], start, start + n_samples),
    )


def _completion(layout: Layout, recipe: Recipe) -> tuple[str, tuple[bool, bool]]:
    """How, and along which of ``(phase_encode, readout)``, a partial k-space is completed."""
    asked = recipe.partial_fourier.method
    method = layout.partial_fourier if asked == "console" else asked
    if method not in ("pocs", "homodyne"):
        return "zero_filling", (False, False)
    n_samples = layout.placement.n_samples
    if n_samples is None:
        raise ShapeError("the number of samples must be known to complete k-space")
    ranges = acquired_ranges(layout.placement, n_samples)
    if asked == "console" and method == "pocs":  # the console fills beside interpolated k-space as well
        fills = tuple(acquired.start > 0 or acquired.stop < acquired.size for acquired in ranges)
        named = layout.completed_axes or (True, True)
        return "console_pocs", (fills[0] and named[0], fills[1] and named[1])
    lines, samples = (acquired.is_partial for acquired in ranges)
    if asked == "console" and layout.completed_axes is not None:
        lines, samples = lines and layout.completed_axes[0], samples and layout.completed_axes[1]
    return method, (lines, samples)


def _transform_sentences(
    shape: tuple[int, ...], layout: Layout, recipe: Recipe, completion: tuple[str, tuple[bool, bool]]
) -> list[str]:
    placement, (method, axes) = layout.placement, completion
    sentences = []
    if recipe.apodisation != "none":
        sentences.append(f"A {recipe.apodisation} window was applied to k-space.")
    if placement.grid != shape[-2:]:
        sentences.append(
            f"{shape[-2]} x {shape[-1]} acquired points were filled with zeros to "
            f"{placement.grid[0]} x {placement.grid[1]}."
        )
    if method != "zero_filling" and any(axes):
        along = " and ".join(name for name, used in zip(("phase_encode", "readout"), axes, strict=True) if used)
        options = recipe.partial_fourier
        how = "the POCS of ParaVision 360" if method == "console_pocs" else "homodyne detection"
        if method == "pocs":
            how = f"POCS until a round changed it by less than {options.tolerance:.3g} ({options.iterations} at most)"
        sentences.append(f"K-space was completed along {along} by {how}; voxels share noise with their mirror in k.")
    elif layout.partial_fourier == "unknown":
        sentences.append("K-space was acquired in part, and filled with zeros; a recipe may complete it (pocs).")
    elif layout.partial_fourier not in ("none", "zero_filling"):
        sentences.append(
            f"K-space was acquired in part; the console completes it by {layout.partial_fourier}, here it was filled "
            "with zeros, so edges are slightly softer than in the image of the console."
        )
    if any(recipe.shift):
        sentences.append(f"Images were shifted by {recipe.shift[0]:g} and {recipe.shift[1]:g} voxels as asked.")
    sentences.append("Images were made by a centred inverse Fourier transform (FFTW).")
    if placement.grid != placement.matrix:
        sentences.append(f"The middle {placement.matrix[0]} x {placement.matrix[1]} voxels were kept.")
    if shape[2] > 1:
        name = "the root of the sum of squares" if recipe.combination != "adaptive" else "adaptive matched filter"
        sentences.append(f"{shape[2]} receivers were combined as {name}.")
    return sentences
