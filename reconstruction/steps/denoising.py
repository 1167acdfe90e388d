"""Low-rank denoising along echoes: signal is common to neighbouring voxels and few decays, noise is not."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError


def low_rank_denoise(images: ComplexArray, noise_std: RealArray, *, block: int = 7) -> tuple[ComplexArray, float]:
    """Keep those singular values of each neighbourhood that noise alone does not reach.

    Neighbourhoods overlap, and their results are averaged. Each is a matrix ``(voxel, echo)``, scaled to unit noise.
    Singular values below ``sqrt(n_voxels) + sqrt(n_echoes)``, the edge of the Marchenko-Pastur distribution, are set to
    zero [1]_. Small differences between voxels are lost with the noise: use it for looking, and mind it when fitting.

    Parameters
    ----------
    images
        Shape ``(echo, slice, phase_encode, readout)``.
    noise_std
        Noise in the real part of each image, shape ``(echo,)``.
    block
        Width of the neighbourhood [voxels].

    Returns
    -------
    images
        Denoised, same shape and precision.
    mean_rank
        Mean number of singular values kept.

    Raises
    ------
    InputError
        If there are fewer than three echoes, or the noise is not known.

    References
    ----------
    .. [1] Veraart et al., NeuroImage 142 (2016) 394; complex noise of unit variance in each part doubles the edge.
    """
    n_echoes, n_slices, n_rows, n_columns = images.shape
    if n_echoes < 3 or not np.all(np.isfinite(noise_std)) or np.any(noise_std <= 0):
        raise InputError(
            f"{n_echoes} echoes with noise {noise_std} cannot be denoised along echoes: at least three echoes and a "
            "known noise are needed: leave denoising out"
        )
    height, width = min(block, n_rows), min(block, n_columns)
    scale = noise_std[:, np.newaxis, np.newaxis, np.newaxis]
    edge = np.sqrt(2.0) * (np.sqrt(height * width) + np.sqrt(n_echoes))
    total = np.zeros(images.shape, np.complex128)
    count = np.zeros((n_rows, n_columns))
    ranks = []
    for index in range(n_slices):
        scaled = (images[:, index] / scale[:, 0]).astype(np.complex128)
        windows = sliding_window_view(scaled, (height, width), axis=(1, 2))
        for row in range(windows.shape[1]):
            patches = windows[:, row].transpose(1, 2, 3, 0).reshape(-1, height * width, n_echoes)
            kept, rank = _truncated(patches, float(edge))
            ranks.append(rank)
            for column, patch in enumerate(kept.reshape(-1, height, width, n_echoes)):
                total[:, index, row : row + height, column : column + width] += patch.transpose(2, 0, 1)
                if index == 0:
                    count[row : row + height, column : column + width] += 1
    return np.asarray((total / count * scale).astype(images.dtype)), float(np.mean(ranks))


def _truncated(patches: ComplexArray, edge: float) -> tuple[ComplexArray, float]:
    """Matrices without their singular values below `edge`, and the mean rank left."""
    left, values, right = np.linalg.svd(patches, full_matrices=False)
    kept = np.where(values > edge, values, 0.0)
    return (left * kept[:, np.newaxis]) @ right, float(np.count_nonzero(kept) / len(patches))
