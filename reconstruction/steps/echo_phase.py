"""Odd and even echoes of a train: imperfect refocusing leaves them with different phases."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import ComplexArray


def align_even_echoes(images: ComplexArray) -> tuple[ComplexArray, float, float]:
    """Give the even echoes of a train the phase of the odd ones: a constant and a slope along the readout.

    Parameters
    ----------
    images
        Shape ``(echo, slice, phase_encode, readout)``; the first echo counts as odd.

    Returns
    -------
    images
        Aligned.
    constant
        Phase of the even echoes against the odd ones in the middle of the readout [rad].
    slope
        Its change per voxel along the readout [rad].
    """
    n_echoes, n_read = len(images), images.shape[-1]
    if n_echoes < 2:
        return images, 0.0, 0.0
    product = np.zeros(images.shape[1:], np.complex128)
    for even in range(1, n_echoes, 2):
        neighbours = images[even - 1] + (images[even + 1] if even + 1 < n_echoes else 0)
        product += images[even] * np.conj(neighbours)
    along = product.reshape(-1, n_read).sum(axis=0)
    slope = float(np.angle(np.sum(along[1:] * np.conj(along[:-1]))))
    x = np.arange(n_read) - n_read // 2
    constant = float(np.angle(np.sum(along * np.exp(-1j * slope * x))))
    aligned = images.copy()
    aligned[1::2] = images[1::2] * np.exp(-1j * (constant + slope * x)).astype(images.dtype)
    return aligned, constant, slope
