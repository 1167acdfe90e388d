"""From a path to images: what was acquired is found out, summed, transformed and described."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.program import Encoding
from knightshift.core.run_folder import MANIFEST, Run, open_run
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.gridding import Apodisation, Placement, combine_channels, make_images, rms, windows_of
from knightshift.reconstruction.images import ImageSeries, SharedExcitation
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.pass_sum import PassSum, sum_passes
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.relaxometry.noise import estimate_noise
from knightshift.reconstruction.stacks import find_stacks, transpose_geometry

LABORATORY_FRAME = "laboratory: x, y, z with z along B0, origin at the isocentre"
SUBJECT_FRAME = "subject: right, anterior, head (RAS+), origin at the isocentre"

_UNIT = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


class ReconstructionOptions(BaseModel):
    """How to reconstruct; the defaults change nothing that was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apodisation: Apodisation = "none"
    """Window over k-space: less ringing and noise for less resolution."""
    zero_fill: Annotated[int, Field(ge=1, le=8)] = 1
    """Factor by which the image is interpolated along phase_encode and readout (own runs)."""
    correct_drift: bool = True
    """Follow phase and frequency through the run and correct what is significant (own runs)."""


def reconstruct(path: str | Path, options: ReconstructionOptions | None = None) -> ImageSeries:
    """Reconstruct the images of a run of knightshift or of a ParaVision scan.

    Parameters
    ----------
    path
        Run folder, ParaVision scan folder, its raw file, or one of its ``pdata/N`` folders.
    options
        How; the default is no apodisation, no interpolation, drift correction where significant.

    Raises
    ------
    InputError
        If there is nothing there, no good pass yet, or the run holds spectra.
    UnsupportedDataError
        If it is a kind of data that is refused rather than guessed at.
    DamagedDataError
        If a file is not what it says it is.
    """
    options = options or ReconstructionOptions()
    path = Path(path)
    if detect(path) is RawKind.RUN:
        return images_of_run(open_run(path), options)
    raw = read_raw(path)
    if isinstance(raw, FidSeries):
        raise InputError(f"{path}: these are spectra, not images: `knightshift fit` finds their relaxation times")
    return raw if isinstance(raw, ImageSeries) else images_of_scan(raw, options)


def images_of_run(run: Run, options: ReconstructionOptions | None = None) -> ImageSeries:
    """Reconstruct the images of the passes of a run that are committed now.

    Raises
    ------
    InputError
        If the run holds spectra, or an echo has no good pass yet.
    DamagedDataError
        If a pass is damaged.
    """
    options = options or ReconstructionOptions()
    encoding = run.manifest.encoding
    if encoding.kind != "image":
        raise InputError(f"{run.path}: this run holds spectra, not images: use spectrum_of_run or `knightshift report`")
    summed = sum_passes(run, correct_drift=options.correct_drift)
    placement = _own_placement(encoding, options.zero_fill)
    images = _transform_run(summed.kspace, placement, options.apodisation)
    noise, noise_sentence = _own_noise(summed, images, placement, options.apodisation)
    geometry = geometry_of(encoding, options.zero_fill)
    return ImageSeries(
        images=images.astype(np.complex64),
        echo_times=np.asarray(encoding.echo_times),
        geometry=geometry,
        noise_std=noise,
        axes=encoding.axes,
        nucleus=run.manifest.programs[0].nucleus,
        working_frequency=summed.frequency,
        methods=(
            _sum_sentence(summed),
            summed.drift.sentence,
            *_transform_sentences(placement, options.apodisation, encoding.samples, encoding.matrix[2]),
            noise_sentence,
        ),
        provenance=_own_provenance(run, summed),
        train=_own_train(run),
    )


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


def _own_placement(encoding: Encoding, zero_fill: int) -> Placement:
    n_lines, n_read = encoding.matrix[1:]
    center = round(encoding.center_sample)
    if abs(center - encoding.center_sample) > 1e-6 or not 0 <= center < encoding.samples:
        raise UnsupportedDataError(f"center_sample {encoding.center_sample} is not a sample of the readout")
    full = 2 * max(center, encoding.samples - center)  # a partial echo is completed with zeros
    if full % n_read:
        raise UnsupportedDataError(
            f"{encoding.samples} samples (k = 0 at {center}) are no multiple of the {n_read} voxels along the readout"
        )
    return Placement(
        line_steps=np.arange(n_lines) - n_lines // 2,
        center_sample=center,
        grid=(n_lines * zero_fill, full * zero_fill),
        matrix=(n_lines * zero_fill, n_read * zero_fill),
    )


def _own_noise(
    summed: PassSum, images: ComplexArray, placement: Placement, apodisation: Apodisation
) -> tuple[RealArray, str]:
    if summed.noise_std is None:
        noise, sentence = _background_noise(images)
        return noise, f"{sentence[:-1]} (there are too few passes to compare)."
    n_samples = summed.kspace.shape[-1]
    along_lines, along_samples = windows_of(apodisation, placement, n_samples)
    # the image is the mean over all acquired points, each with its window
    scale = rms(along_lines) * rms(along_samples) / np.sqrt(len(along_lines) * n_samples)
    channels = summed.kspace.shape[2]
    tail = "." if channels == 1 else ", averaged over the receivers."
    return summed.noise_std * scale, f"The noise was measured from the differences of successive passes{tail}"


def _background_noise(images: ComplexArray) -> tuple[RealArray, str]:
    """Noise from the background; NaN, and a sentence that says so, where there is none."""
    try:
        return estimate_noise(images), "The noise was estimated from the background of each image."
    except InputError as error:
        return np.full(len(images), np.nan), f"The noise could not be measured: {error}."


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


def images_of_scan(scan: KSpaceScan, options: ReconstructionOptions | None = None) -> ImageSeries:
    """Reconstruct the images of a scan of another console.

    Raises
    ------
    ShapeError
        If what was read does not fit together.
    """
    options = options or ReconstructionOptions()
    placement = Placement(scan.line_steps, scan.center_sample, scan.grid, scan.matrix)
    kspace = scan.kspace.mean(axis=0) if scan.kspace.shape[0] > 1 else scan.kspace[0]
    images = _transform_scan(kspace, placement, options.apodisation, scan)
    geometries = tuple(
        transpose_geometry(geometry) if swapped else geometry
        for geometry, swapped in zip(scan.slice_geometries, scan.transposed, strict=True)
    )
    stacks = find_stacks(geometries)
    noise, noise_sentence = _background_noise(images)
    return ImageSeries(
        images=images,
        echo_times=scan.echo_times,
        geometry=stacks[0].geometry,
        noise_std=noise,
        axes=("slice", "row", "column") if scan.transposed.any() else ("slice", "phase_encode", "readout"),
        nucleus=scan.nucleus,
        working_frequency=scan.working_frequency,
        methods=(
            *scan.methods,
            *_scan_sentences(scan),
            *_transform_sentences(placement, options.apodisation, scan.kspace.shape[-1], scan.matrix[1]),
            noise_sentence,
        ),
        missing=scan.missing,
        inversion_times=scan.inversion_times,
        provenance={"source": str(scan.source), "format": scan.format, "frame": SUBJECT_FRAME, **scan.parameters},
        stacks=stacks if len(stacks) > 1 else (),
    )


def _scan_sentences(scan: KSpaceScan) -> list[str]:
    sentences = []
    if scan.kspace.shape[0] > 1:
        sentences.append(f"{scan.kspace.shape[0]} repetitions were averaged in the complex domain.")
    if scan.kspace.shape[3] > 1:
        sentences.append(f"{scan.kspace.shape[3]} receivers were combined as the root of the sum of squares.")
    if scan.partial_fourier not in ("none", "zero_filling"):
        sentences.append(
            f"K-space was acquired in part; the console completes it by {scan.partial_fourier}, here it was filled "
            "with zeros, so edges are slightly softer than in the image of the console."
        )
    if scan.transposed.any():
        sentences.append("Rows and columns are swapped where the console swaps them (RECO_transposition).")
    return sentences


def _transform_run(kspace: ComplexArray, placement: Placement, apodisation: Apodisation) -> ComplexArray:
    """From ``(echo, slice, channel, line, sample)`` to ``(echo, slice, phase_encode, readout)``."""
    slices = [
        combine_channels(make_images(kspace[:, index], placement, apodisation)) for index in range(kspace.shape[1])
    ]
    return np.stack(slices, axis=1)


def _transform_scan(
    kspace: ComplexArray, placement: Placement, apodisation: Apodisation, scan: KSpaceScan
) -> ComplexArray:
    """Slice by slice, scaled and turned as the console shows it, to ``(echo, slice, row, column)``."""
    rows, columns = placement.matrix[::-1] if scan.transposed.any() else placement.matrix
    images = np.empty((*kspace.shape[:2], rows, columns), kspace.dtype)
    for index, (down, across) in enumerate(scan.shifts.tolist()):
        channels = make_images(kspace[:, index], placement, apodisation, (down, across), normalise_to="grid")
        image = combine_channels(channels)
        images[:, index] = image.swapaxes(-1, -2) if scan.transposed[index] else image
    return images


def _transform_sentences(placement: Placement, apodisation: Apodisation, n_samples: int, n_read: int) -> list[str]:
    sentences = []
    if apodisation != "none":
        sentences.append(f"A {apodisation} window was applied to k-space.")
    acquired = len(placement.line_steps), n_samples
    if placement.grid != acquired:
        sentences.append(
            f"{acquired[0]} x {acquired[1]} acquired points were filled with zeros to "
            f"{placement.grid[0]} x {placement.grid[1]}."
        )
    sentences.append("Images were made by a centred inverse Fourier transform (FFTW).")
    if placement.grid != placement.matrix:
        sentences.append(f"The middle {placement.matrix[0]} x {placement.matrix[1]} voxels were kept.")
    return sentences
