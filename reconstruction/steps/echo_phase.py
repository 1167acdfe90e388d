"""Odd and even echoes of a train: imperfect refocusing leaves them with different phases."""

from __future__ import annotations

from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray


def align_even_echoes(images: Any, *, along_rows: bool = False) -> tuple[float, float]:
    """Give the even echoes of a train the phase of the odd ones: a constant and a slope along the readout.

    Parameters
    ----------
    images
        Shape ``(echo, slice, phase_encode, readout)``; the first echo counts as odd. They are changed in place, slice
        by slice.
    along_rows
        The readout is the third axis, not the last.

    Returns
    -------
    constant
        Phase of the even echoes against the odd ones in the middle of the readout [rad].
    slope
        Its change per voxel along the readout [rad].
    """
    n_echoes, n_slices = images.shape[:2]
    if n_echoes < 2:
        return 0.0, 0.0
    read, other = (-2, -1) if along_rows else (-1, -2)
    along = np.sum([_product_along(images[:, index], other) for index in range(n_slices)], axis=0)
    slope = float(np.angle(np.sum(along[1:] * np.conj(along[:-1]))))
    x = np.arange(images.shape[read]) - images.shape[read] // 2
    constant = float(np.angle(np.sum(along * np.exp(-1j * slope * x))))
    turn = np.exp(-1j * (constant + slope * x)).astype(images.dtype)
    for index in range(n_slices):
        for even in range(1, n_echoes, 2):
            images[even, index] = images[even, index] * (turn[:, np.newaxis] if along_rows else turn)
    return constant, slope


def _product_along(echoes: ComplexArray, other: int) -> ComplexArray:
    """Even echoes of one slice times the conjugate of their neighbours, summed over all but the readout."""
    product = np.zeros(echoes.shape[1:], np.complex128)
    for even in range(1, len(echoes), 2):
        neighbours = echoes[even - 1] + (echoes[even + 1] if even + 1 < len(echoes) else 0)
        product += echoes[even] * np.conj(neighbours)
    along: ComplexArray = product.sum(axis=other)
    return along
