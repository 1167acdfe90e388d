"""Several receivers: make their noise white, and combine their images into one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.steps.cleaning import outer_points


def noise_covariance(planes: Iterable[ComplexArray]) -> ComplexArray:
    """Covariance of the noise of the receivers, from the corners of k-space.

    Parameters
    ----------
    planes
        Each of shape ``(channel, line, sample)``, lines in order of k. They are added up one by one, so that the result
        does not depend on how many are read at a time.

    Returns
    -------
    ComplexArray
        Shape ``(channel, channel)``.

    Raises
    ------
    InputError
        If there are fewer than ten samples a channel to measure it on.
    """
    total, count, n_channels = None, 0, 0
    for plane in planes:
        samples = plane[:, outer_points(*plane.shape[-2:])].astype(np.complex128)
        one = samples @ np.conj(samples.T)
        total, count, n_channels = one if total is None else total + one, count + samples.shape[1], len(samples)
    if total is None or count < 10 * n_channels:
        raise InputError(
            f"{count} samples in the corners of k-space are too few for the noise of {n_channels} receivers: "
            "reconstruct without whitening"
        )
    covariance: ComplexArray = total / count
    return covariance


def whitening_matrix(covariance: ComplexArray) -> ComplexArray:
    """Mixture of the receivers whose noise is uncorrelated and equal; the mean noise level stays as it was.

    Parameters
    ----------
    covariance
        Shape ``(channel, channel)``.

    Returns
    -------
    ComplexArray
        Shape ``(mixture, channel)``.

    Raises
    ------
    InputError
        If a receiver has no noise of its own.
    """
    try:
        lower = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise InputError("the noise of the receivers is not independent: reconstruct without whitening") from None
    mixing: ComplexArray = np.linalg.inv(lower) * np.sqrt(np.trace(covariance).real / len(covariance))
    return mixing


def mix_receivers(plane: ComplexArray, mixing: ComplexArray) -> ComplexArray:
    """Mix the receivers of a plane of shape ``(channel, line, sample)`` by a matrix ``(mixture, channel)``."""
    if mixing.shape[1] != len(plane):
        raise ShapeError(f"a mixture of {mixing.shape[1]} receivers does not fit {len(plane)}")
    return np.asarray(np.tensordot(mixing, plane, axes=1).astype(plane.dtype))


def root_sum_of_squares(images: ComplexArray) -> ComplexArray:
    """Combine receivers as the root of the sum of squares, with the phase relative to the first echo.

    Parameters
    ----------
    images
        Shape ``(echo, channel, *image)``.

    Returns
    -------
    ComplexArray
        Shape ``(echo, *image)``; the one channel unchanged where there is only one.
    """
    if images.shape[1] == 1:
        return images[:, 0]
    combined: ComplexArray = np.einsum("ec...,c...->e...", images, np.conj(images[0]))
    size = np.abs(combined)
    combined[size == 0] = 1
    size[size == 0] = 1
    magnitude = np.sqrt(np.sum(images.real**2 + images.imag**2, axis=1))
    combined *= magnitude / size
    return combined


def adaptive_combination(images: ComplexArray, *, block: int = 5) -> ComplexArray:
    """Combine receivers by the matched filter of their local covariance [1]_.

    In each neighbourhood the weights are the strongest eigenvector of the covariance of the channels over all echoes,
    so that noise in regions without signal is not rectified as by the root of the sum of squares.

    Parameters
    ----------
    images
        Shape ``(echo, channel, *image)``, noise of the receivers white and equal.
    block
        Width of the neighbourhood [voxels].

    Returns
    -------
    ComplexArray
        Shape ``(echo, *image)``; the one channel unchanged where there is only one.

    References
    ----------
    .. [1] Walsh, Gmitro and Marcellin, Magn. Reson. Med. 43 (2000) 682.
    """
    from scipy import ndimage

    n_channels = images.shape[1]
    if n_channels == 1:
        return images[:, 0]
    covariance = np.einsum("ec...,ed...->...cd", images, np.conj(images))
    size = (block,) * (images.ndim - 2)
    smooth = np.empty_like(covariance, dtype=np.complex128)
    for row in range(n_channels):
        for column in range(n_channels):
            plane = covariance[..., row, column]
            smooth[..., row, column] = ndimage.uniform_filter(plane.real, size) + 1j * ndimage.uniform_filter(
                plane.imag, size
            )
    _, vectors = np.linalg.eigh(smooth)
    weights = vectors[..., -1]
    reference = int(np.argmax(np.sum(np.abs(images) ** 2, axis=(0, *range(2, images.ndim)))))
    weights = weights * np.exp(-1j * np.angle(weights[..., reference : reference + 1]))
    return np.asarray(np.einsum("...c,ec...->e...", np.conj(weights), images).astype(images.dtype))
