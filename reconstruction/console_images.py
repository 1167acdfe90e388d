"""Images of the scan of another console, placed, scaled and turned as that console shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.gridding import Placement
from knightshift.reconstruction.image_noise import background_noise, denoise_images
from knightshift.reconstruction.images import ECHO_FORMATION, GRADIENT_ECHO, SPIN_ECHO, ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan, StoredKSpace
from knightshift.reconstruction.pipeline import Layout, images_of_kspace
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.stacks import find_stacks, transpose_geometry
from knightshift.reconstruction.storage import IN_MEMORY, Storage

TimedImages = TypeVar("TimedImages", KSpaceScan, ImageSeries)

SUBJECT_FRAME = "subject: right, anterior, head (RAS+), origin at the isocentre"


def images_of_scan(scan: KSpaceScan, recipe: Recipe | None = None, storage: Storage = IN_MEMORY) -> ImageSeries:
    """Reconstruct the images of a scan of another console; several repetitions are averaged.

    With `storage` of `disk_storage` they may be larger than memory.

    Raises
    ------
    InputError
        If `recipe` asks to keep several repetitions separate (see `repetitions_of_scan`), if the repetitions are not of
        the same image, or for a step that is not possible on these data.
    ShapeError
        If what was read does not fit together.
    """
    recipe = recipe or Recipe()
    n_repetitions = scan.kspace.shape[0]
    if recipe.repetitions == "separate" and n_repetitions > 1:
        raise InputError(
            f"{scan.source}: {n_repetitions} repetitions cannot be one series: average them, or use repetitions_of_scan"
        )
    if n_repetitions > 1 and scan.repetitions_differ:
        raise InputError(
            f"{scan.source}: the {n_repetitions} repetitions must not be averaged, {scan.repetitions_differ}: "
            "reconstruct each on its own with a recipe that says repetitions: separate"
        )
    told = (f"{n_repetitions} repetitions were averaged in the complex domain.",) * (n_repetitions > 1)
    return _images(scan, _Mean(scan.kspace, range(n_repetitions)), (recipe, storage), told)


class _Mean:
    """Mean of some repetitions, ``(echo, slice, channel, line, sample)``, made slice by slice when read."""

    def __init__(self, kspace: ComplexArray | StoredKSpace, repetitions: range) -> None:
        self._kspace, self._repetitions = kspace, repetitions
        self.shape = kspace.shape[1:]
        self.dtype = np.dtype(kspace.dtype)

    def __getitem__(self, key: Any) -> ComplexArray:
        keys = key if isinstance(key, tuple) else (key,)
        first, *others = self._repetitions
        if not others:
            return self._kspace[(first, *keys)]
        total = self._kspace[(first, *keys)].astype(np.complex128)
        for repetition in others:
            total += self._kspace[(repetition, *keys)]
        return np.asarray((total / len(self._repetitions)).astype(self.dtype))


def repetitions_of_scan(
    scan: KSpaceScan, recipe: Recipe | None = None, storage: Storage = IN_MEMORY
) -> tuple[ImageSeries, ...]:
    """Reconstruct each repetition of a scan on its own, in order of acquisition.

    Raises
    ------
    InputError, ShapeError
        As `images_of_scan`.
    """
    recipe = recipe or Recipe()
    count = scan.kspace.shape[0]
    told = tuple((f"This is repetition {number + 1} of {count}.",) * (count > 1) for number in range(count))
    return tuple(
        _images(scan, _Mean(scan.kspace, range(number, number + 1)), (recipe, storage), told[number])
        for number in range(count)
    )


def _images(scan: KSpaceScan, kspace: _Mean, how: tuple[Recipe, Storage], told: tuple[str, ...]) -> ImageSeries:
    recipe, storage = how
    scan = _on_grid_asked_for(with_times_given(scan, recipe, scan.source), recipe)
    made = images_of_kspace(kspace, _layout(scan), recipe, storage)
    images = made.images
    geometries = tuple(
        transpose_geometry(geometry) if swapped else geometry
        for geometry, swapped in zip(scan.slice_geometries, scan.transposed, strict=True)
    )
    stacks = find_stacks(geometries)
    noise, noise_sentence = background_noise(images)
    sentences = [*scan.methods, *told, *made.sentences]
    if scan.transposed.any():
        sentences.append("Rows and columns are swapped where the console swaps them (RECO_transposition).")
    sentences.append(noise_sentence)
    if recipe.denoise:
        noise, sentence = denoise_images(images, noise)
        sentences.append(sentence)
    return ImageSeries(
        images=images,
        echo_times=scan.echo_times,
        geometry=stacks[0].geometry,
        noise_std=noise,
        axes=("slice", "row", "column") if scan.transposed.any() else ("slice", "phase_encode", "readout"),
        nucleus=scan.nucleus,
        working_frequency=scan.working_frequency,
        methods=tuple(sentences),
        missing=scan.missing,
        inversion_times=scan.inversion_times,
        provenance={
            "source": str(scan.source),
            "format": scan.format,
            "frame": scan.frame or SUBJECT_FRAME,
            **({} if scan.refocused is None else {ECHO_FORMATION: SPIN_ECHO if scan.refocused else GRADIENT_ECHO}),
            **scan.parameters,
        },
        stacks=stacks if len(stacks) > 1 else (),
    )


def with_times_given(raw: TimedImages, recipe: Recipe, source: Path) -> TimedImages:
    """Give k-space or images the echo times of the recipe, where it has some.

    Raises
    ------
    InputError
        If it has another number of them.
    """
    if recipe.echo_times is None:
        return raw
    n_echoes = raw.kspace.shape[1] if isinstance(raw, KSpaceScan) else len(raw.images)
    if len(recipe.echo_times) != n_echoes:
        raise InputError(f"{source}: {len(recipe.echo_times)} echo_times were given for {n_echoes} echoes")
    return replace(
        raw,
        echo_times=np.array(recipe.echo_times),
        methods=(*raw.methods, "The echo times were given, not read from the data."),
        missing=tuple(line for line in raw.missing if not line.startswith("the echo times")),
    )


def _layout(scan: KSpaceScan) -> Layout:
    placement = Placement(scan.line_steps, scan.center_sample, scan.grid, scan.matrix, scan.kspace.shape[-1])
    return Layout(
        placement=placement,
        shifts=scan.shifts,
        on_scale_of_grid=True,
        partial_fourier=scan.partial_fourier,
        completed_axes=scan.completed_axes,
        partitions=scan.partitions,
        swapped=scan.transposed,
    )


def _on_grid_asked_for(scan: KSpaceScan, recipe: Recipe) -> KSpaceScan:
    """Interpolate, or keep the whole oversampled field of view, with voxels where they then are."""
    matrix = scan.matrix if recipe.crop_oversampling else scan.grid
    factor = recipe.zero_fill
    if factor == 1 and matrix == scan.matrix:
        return scan
    new = matrix[0] * factor, matrix[1] * factor
    return replace(
        scan,
        grid=(scan.grid[0] * factor, scan.grid[1] * factor),
        matrix=new,
        shifts=scan.shifts * factor,
        slice_geometries=tuple(resampled_geometry(g, scan.matrix, new, factor) for g in scan.slice_geometries),
    )


def resampled_geometry(
    geometry: ImageGeometry, old: tuple[int, int], new: tuple[int, int], factor: int
) -> ImageGeometry:
    """Geometry after the image plane has `new` voxels, `factor` times smaller; index ``N // 2`` stays where it is.

    Parameters
    ----------
    geometry
        Of the image before, with axes ``(slice, phase_encode, readout)``.
    old, new
        Voxels along ``(phase_encode, readout)`` before and after.
    factor
        Interpolation.
    """
    size = np.array(geometry.voxel_size)
    finer = size / np.array([1, factor, factor])
    centre = geometry.origin + (np.array([0, old[0] // 2, old[1] // 2]) * size) @ geometry.directions
    origin = centre - (np.array([0, new[0] // 2, new[1] // 2]) * finer) @ geometry.directions
    return ImageGeometry((float(finer[0]), float(finer[1]), float(finer[2])), geometry.directions, origin)
