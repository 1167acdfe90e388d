"""From a path to images: what was acquired is found out, summed, transformed and described."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.program import Encoding
from knightshift.core.run_folder import MANIFEST, Run, open_run
from knightshift.reconstruction.console_images import (
    images_of_scan,
    repetitions_of_scan,
    resampled_geometry,
    with_times_given,
)
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.gridding import Placement
from knightshift.reconstruction.image_noise import background_noise, carried_noise, denoise_images
from knightshift.reconstruction.images import ImageSeries, SharedExcitation
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.pass_sum import PassSum, sum_passes
from knightshift.reconstruction.pipeline import Layout, images_of_kspace
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.storage import IN_MEMORY, Storage

__all__ = ["Recipe", "geometry_of", "images_of_run", "images_of_scan", "reconstruct", "reconstruct_repetitions"]

LABORATORY_FRAME = "laboratory: x, y, z with z along B0, origin at the isocentre"

_UNIT = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def reconstruct(path: str | Path, recipe: Recipe | None = None, storage: Storage = IN_MEMORY) -> ImageSeries:
    """Reconstruct the images of a run of knightshift or of a scan of another console.

    Parameters
    ----------
    path
        Run folder, raw data of a console (see `read_raw`), or images that were reconstructed elsewhere.
    recipe
        How; the default is no apodisation, no interpolation, drift correction where significant.
    storage
        Where the images of other consoles go: with that of `disk_storage` they may be larger than memory.

    Raises
    ------
    InputError
        If there is nothing there, no good pass yet, or the run holds spectra.
    UnsupportedDataError
        If it is a kind of data that is refused rather than guessed at.
    DamagedDataError
        If a file is not what it says it is.
    """
    recipe = recipe or Recipe()
    path = Path(path)
    if detect(path) is RawKind.RUN:
        return images_of_run(open_run(path), recipe)
    raw = read_raw(path)
    if isinstance(raw, FidSeries):
        raise InputError(f"{path}: these are spectra, not images: `reconstruct` draws them, `fit` finds their times")
    return _as_asked(path, raw, recipe) if isinstance(raw, ImageSeries) else images_of_scan(raw, recipe, storage)


_STEPS_OF_IMAGES = {"echo_times", "denoise", "repetitions", "correct_drift"}
"""What a recipe may ask of images that were reconstructed before; of these, repetitions and drift are not there."""


def _as_asked(path: Path, series: ImageSeries, recipe: Recipe) -> ImageSeries:
    """Take the steps of a recipe that are for images. Raises `InputError` if it has others."""
    others = sorted(recipe.model_dump(exclude_defaults=True).keys() - _STEPS_OF_IMAGES)
    if others:
        raise InputError(
            f"{path}: these are images, not k-space: a recipe for them has echo_times and denoise, not "
            f"{', '.join(others)}"
        )
    return denoised(with_times_given(series, recipe, path), recipe)


def denoised(series: ImageSeries, recipe: Recipe) -> ImageSeries:
    """Denoise images that were reconstructed before, in place, if a recipe asks for it."""
    if not recipe.denoise:
        return series
    noise, sentence = denoise_images(series.images, series.noise_std)
    return replace(series, noise_std=noise, methods=(*series.methods, sentence))


def reconstruct_repetitions(
    path: str | Path, recipe: Recipe | None = None, storage: Storage = IN_MEMORY
) -> tuple[ImageSeries, ...]:
    """Reconstruct as `reconstruct` does, but each repetition on its own where `recipe` asks for that.

    Returns
    -------
    tuple of ImageSeries
        One series, or one for every repetition of a scan of another console.

    Raises
    ------
    InputError, UnsupportedDataError, DamagedDataError
        As `reconstruct`.
    """
    recipe = recipe or Recipe()
    path = Path(path)
    if recipe.repetitions == "separate" and detect(path) is not RawKind.RUN:
        raw = read_raw(path)
        if isinstance(raw, KSpaceScan):
            return repetitions_of_scan(raw, recipe, storage)
    return (reconstruct(path, recipe, storage),)


def images_of_run(run: Run, recipe: Recipe | None = None) -> ImageSeries:
    """Reconstruct the images of the passes of a run that are committed now.

    Raises
    ------
    InputError
        If the run holds spectra, or an echo has no good pass yet.
    DamagedDataError
        If a pass is damaged.
    """
    recipe = recipe or Recipe()
    encoding = run.manifest.encoding
    if encoding.kind != "image":
        raise InputError(f"{run.path}: this run holds spectra, not images: use spectrum_of_run or `knightshift report`")
    summed = sum_passes(run, correct_drift=recipe.correct_drift)
    return images_of_sum(run, summed, recipe)


def images_of_sum(run: Run, summed: PassSum, recipe: Recipe) -> ImageSeries:
    """Make the images of the sum of the passes of a run, for those who need the sum for something else too."""
    encoding = run.manifest.encoding
    if recipe.echo_times is not None:
        raise InputError(f"{run.path}: this run holds its echo times: take echo_times out of the recipe")
    layout = layout_of_run(encoding, recipe)
    made = images_of_kspace(summed.kspace, layout, recipe)
    images = made.images
    if summed.noise_std is None:
        noise, noise_sentence = background_noise(images)
        noise_sentence = f"{noise_sentence[:-1]} (there are too few passes to compare)."
    else:
        noise, noise_sentence = carried_noise(summed.kspace, summed.noise_std, layout, recipe)
    sentences = [
        _sum_sentence(summed),
        summed.drift.sentence,
        *filter(None, [summed.weighting]),
        *made.sentences,
        noise_sentence,
    ]
    if recipe.denoise:
        noise, sentence = denoise_images(images, noise)
        sentences.append(sentence)
    return ImageSeries(
        images=images.astype(np.complex64, copy=False),
        echo_times=np.asarray(encoding.echo_times),
        geometry=_geometry_of_placement(encoding, layout.placement, recipe),
        noise_std=noise,
        axes=encoding.axes,
        nucleus=run.manifest.programs[0].nucleus,
        working_frequency=summed.frequency,
        methods=tuple(sentences),
        provenance=_own_provenance(run, summed),
        train=_own_train(run),
    )


def layout_of_run(encoding: Encoding, recipe: Recipe) -> Layout:
    """Say where the samples of our own runs belong. Raises `UnsupportedDataError` if they are on no grid."""
    return Layout(_own_placement(encoding, recipe), shifts=np.zeros((1, 2)))


def _own_train(run: Run) -> SharedExcitation | None:
    """Tell the train from the protocol; None where every echo has an excitation of its own."""
    protocol = run.manifest.protocol
    if protocol.get("kind") != "multi_echo_spin_echo":
        return None
    try:
        return SharedExcitation(
            echo_spacing=float(protocol["echo_spacing"]),
            excitation=float(protocol["excitation_flip_angle"]),
            refocusing=float(protocol["refocusing_flip_angle"]),
            shift=float(protocol["shift"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedDataError(
            run.path / MANIFEST, "protocol", f"it does not describe an echo train ({error!r})"
        ) from error


def geometry_of(encoding: Encoding, zero_fill: int = 1) -> ImageGeometry:
    """Where the voxels of a run are: index n at ``(n - N // 2) * voxel`` from the isocentre along each axis."""
    matrix = np.array(encoding.matrix) * np.array([1, zero_fill, zero_fill])
    size = np.asarray(encoding.field_of_view) / matrix
    directions = np.array([_UNIT[axis] for axis in encoding.axes])
    return ImageGeometry(
        (float(size[0]), float(size[1]), float(size[2])), directions, -(matrix // 2 * size) @ directions
    )


def _geometry_of_placement(encoding: Encoding, placement: Placement, recipe: Recipe) -> ImageGeometry:
    """Where the voxels are after interpolation, and with or without the oversampled part of the readout."""
    plain = geometry_of(encoding)
    return resampled_geometry(plain, encoding.matrix[1:], placement.matrix, recipe.zero_fill)


def _own_placement(encoding: Encoding, recipe: Recipe) -> Placement:
    n_lines, n_read = encoding.matrix[1:]
    center = round(encoding.center_sample)
    if abs(center - encoding.center_sample) > 1e-6 or not 0 <= center < encoding.samples:
        raise UnsupportedDataError(f"center_sample {encoding.center_sample} is not a sample of the readout")
    full = 2 * max(center, encoding.samples - center)  # a partial echo is completed
    if full % n_read:
        raise UnsupportedDataError(
            f"{encoding.samples} samples (k = 0 at {center}) are no multiple of the {n_read} voxels along the readout"
        )
    factor = recipe.zero_fill
    return Placement(
        line_steps=np.arange(n_lines) - n_lines // 2,
        center_sample=center,
        grid=(n_lines * factor, full * factor),
        matrix=(n_lines * factor, (n_read if recipe.crop_oversampling else full) * factor),
        n_samples=encoding.samples,
    )


def _own_provenance(run: Run, summed: PassSum) -> dict[str, str]:
    manifest = run.manifest
    return {
        "source": str(run.path),
        "format": manifest.format,
        "run_id": manifest.run_id,
        "frame": LABORATORY_FRAME,
        "passes": " ".join(str(n) for n in summed.n_passes),
        "passes_flagged": " ".join(str(n) for n in summed.flagged),
        "programs": " ".join(entry.digest for entry in manifest.programs),
        **{f"version_{name}": text for name, text in sorted(manifest.versions.items())},
    }


def _sum_sentence(summed: PassSum) -> str:
    counts = sorted(set(summed.n_passes.tolist()))
    per_echo = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    flagged = f"; {len(summed.flagged)} flagged passes got no weight" if summed.flagged else ""
    return f"{per_echo} passes of each echo were averaged in the complex domain{flagged}."
