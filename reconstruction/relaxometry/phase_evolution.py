"""Whether the phase of complex images changes from echo to echo, as it does in gradient echoes off resonance."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry.phase import turns_of_echoes

_BRIGHT = 20.0  # times the energy of noise
_ENOUGH_VOXELS = 50_000
_SIGNIFICANCE = 6.0  # standard deviations
_LARGEST_ANGLE = 0.1
"""T2 then reads 4 % short. Spin echoes, with ringing of different T2 in every voxel, reach 0.03 [rad]."""


def phase_evolution(signal: RealArray | ComplexArray, noise_std: RealArray, mask: BoolArray) -> tuple[float, float]:
    """Measure by how much the phase of bright voxels departs from the phase of their own.

    Parameters
    ----------
    signal
        Complex images, shape ``(echo, *image)``.
    noise_std
        Noise of the real part, shape ``(echo,)``.
    mask
        Voxels to look at, finite in all echoes, shape ``image``.

    Returns
    -------
    tuple[float, float]
        Root mean square of the angle over voxels and echoes, weighted by energy and without the part of noise [rad],
        and how many standard deviations of noise the energy across that phase is above that of noise. A phase that all
        voxels of an echo share is taken out.
    """
    voxels = np.flatnonzero(mask)
    chosen = voxels[:: 1 + voxels.size // _ENOUGH_VOXELS]
    sample = np.asarray(signal.reshape(len(signal), -1).take(chosen, axis=1), dtype=complex)
    scaled = sample * (turns_of_echoes(sample, noise_std) / noise_std)[:, None]
    along = scaled * np.exp(-0.5j * np.angle(np.sum(scaled**2, axis=0)))  # as little as possible is left across it
    energy = np.sum(along.real**2, axis=0)  # that across would single out voxels whose noise lies across
    along = along[:, energy > _BRIGHT * len(signal)]
    if along.shape[1] == 0:
        return 0.0, 0.0
    noise = along.shape[1] * (len(signal) - 1)  # each voxel has its own phase
    across = float(np.sum(along.imag**2)) - noise
    angle = np.arctan(np.sqrt(max(across, 0.0) / float(np.sum(along.real**2))))
    return float(angle), across / float(np.sqrt(2 * noise))


def reason_against_real_part(
    signal: RealArray | ComplexArray, noise_std: RealArray, mask: BoolArray | None = None
) -> str | None:
    """Why the complex estimator must not be used for these images; None where it may be.

    Parameters
    ----------
    signal
        Complex images, shape ``(echo, *image)``.
    noise_std
        Noise of the real part, shape ``(echo,)``.
    mask
        Voxels to look at, finite in all echoes, shape ``image``; by default all.
    """
    chosen = np.ones(signal.shape[1:], dtype=bool) if mask is None else mask
    angle, significance = phase_evolution(signal, noise_std, chosen)
    if angle > _LARGEST_ANGLE and significance > _SIGNIFICANCE:
        return (
            f"the phase of bright voxels changes from echo to echo by {np.degrees(angle):.0f} degrees "
            f"({significance:.0f} standard deviations of the noise), as in gradient echoes off resonance: the real "
            "part would read T2 too short"
        )
    return None


def refuse_phase_evolution(signal: RealArray | ComplexArray, noise_std: RealArray, mask: BoolArray) -> None:
    """Raise `InputError` if the real part would lose signal because the phase changes from echo to echo."""
    if (reason := reason_against_real_part(signal, noise_std, mask)) is not None:
        raise InputError(f"{reason}. Use estimator 'rician' (--estimator rician), which needs no phase")
