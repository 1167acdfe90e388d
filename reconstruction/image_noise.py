"""Noise of the images of a reconstruction: carried through its steps, or seen in the background."""

from __future__ import annotations

from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.gridding import rms, windows_of
from knightshift.reconstruction.pipeline import Layout, images_of_kspace
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.relaxometry.noise import estimate_noise
from knightshift.reconstruction.steps.denoising import low_rank_denoise

_REPLICA_SEED = 0
_REPLICA_VOXELS = 20_000
"""Replicas are repeated until so many voxels were seen: the noise is then known to half a percent."""
_MAX_REPLICAS = 16
_MOST_VOXELS = 1_000_000
"""Images of more voxels have their noise estimated in some of their slices."""


def background_noise(images: ComplexArray) -> tuple[RealArray, str]:
    """Noise from the background; NaN, and a sentence that says so, where there is none.

    Parameters
    ----------
    images
        Shape ``(echo, slice, phase_encode, readout)``.
    """
    step = max(1, -(-images.size // _MOST_VOXELS))
    some = f", in one of {step} slices" if step > 1 else ""
    try:
        return estimate_noise(images[:, ::step]), f"The noise was estimated from the background of each image{some}."
    except InputError as error:
        return np.full(len(images), np.nan), f"The noise could not be measured: {error}."


def carried_noise(kspace: ComplexArray, noise_std: RealArray, layout: Layout, recipe: Recipe) -> tuple[RealArray, str]:
    """Noise of the images from that of k-space.

    With windows alone it follows from them. Otherwise known noise is added to k-space and the difference of the images
    measured, the method of pseudo replicas [1]_.

    Parameters
    ----------
    kspace
        Shape ``(echo, slice, channel, line, sample)``.
    noise_std
        Noise in the real part of a sample of `kspace`, shape ``(echo,)``.
    layout
        Where the samples belong.
    recipe
        The steps.

    Returns
    -------
    noise_std
        In the real part of the images, shape ``(echo,)``.
    sentence
        How it was found.

    References
    ----------
    .. [1] Robson et al., Magn. Reson. Med. 60 (2008) 895.
    """
    if recipe.is_linear and kspace.shape[2] == 1:
        along_lines, along_samples = windows_of(recipe.apodisation, layout.placement, kspace.shape[-1])
        # the image is the mean over all acquired points, each with its window
        scale = rms(along_lines) * rms(along_samples) / np.sqrt(len(along_lines) * kspace.shape[-1])
        return noise_std * scale, "The noise was measured from the differences of successive passes."
    rng = np.random.default_rng(_REPLICA_SEED)
    spread = noise_std.reshape(-1, *(1,) * (kspace.ndim - 1))
    clean = images_of_kspace(kspace, layout, recipe).images
    n_replicas = int(np.clip(_REPLICA_VOXELS // clean[0].size, 1, _MAX_REPLICAS))
    power = np.zeros(len(clean))
    for _ in range(n_replicas):
        extra = spread * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
        difference = images_of_kspace(kspace + extra, layout, recipe).images - clean
        power += np.mean(np.abs(difference) ** 2, axis=(1, 2, 3)) / 2
    measured: RealArray = np.sqrt(power / n_replicas)
    sentence = (
        "The noise was measured from the differences of successive passes and carried through the reconstruction by a "
        "pseudo replica, averaged over the image."
    )
    return measured, sentence


def denoise_images(images: Any, noise_std: RealArray) -> tuple[RealArray, str]:
    """Denoise along echoes in place, slice by slice, and tell what that leaves of the noise.

    What was taken away is noise, as far as it is not more than there was. Denoising is a mean of projections, so
    ``left^2 + removed^2 <= 1`` in units of the noise: what is left is at most that.

    Parameters
    ----------
    images
        Shape ``(echo, slice, phase_encode, readout)``.
    noise_std
        Noise in the real part of each image, shape ``(echo,)``.

    Returns
    -------
    noise_std
        What is left at most, averaged over the image, shape ``(echo,)``.
    sentence
        What was done, and its effect on the noise.

    Raises
    ------
    InputError
        If there are fewer than three echoes, or the noise is not known.
    """
    n_slices = images.shape[1]
    removed, rank = np.zeros(len(images)), 0.0
    for index in range(n_slices):
        before = images[:, index : index + 1]
        after, kept = low_rank_denoise(before, noise_std)
        removed += np.mean(np.abs(before - after) ** 2, axis=(1, 2, 3)) / (2 * noise_std**2) / n_slices
        rank += kept / n_slices
        images[:, index : index + 1] = after
    left = np.sqrt(np.clip(1 - removed, 0, 1))
    sentence = (
        f"Images were denoised along the echoes (low rank, {rank:.2g} of {len(images)} components kept on average); "
        f"at most {100 * float(np.mean(left)):.0f} % of the noise is left, correlated between voxels."
    )
    return noise_std * left, sentence
