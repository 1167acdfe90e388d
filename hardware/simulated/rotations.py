"""RF pulses as rotations, in Cayley-Klein parameters.

The frame is the conjugate picture that Pulseq uses: a pulse of phase φ turns right-handed about the axis (cos φ, sin φ)
and a positive offset f turns ``M = Mx + i My`` by exp(+2πi f t), so that RF phase, gradients and off-resonance turn the
same way. For γ > 0 the laboratory shows the mirror image; the receiver takes the conjugate at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray


@dataclass(frozen=True)
class Rotation:
    """Coefficients of one rotation, arrays that broadcast against the spins.

    ``M' = keep M + flip conj(M) + tip Mz``; ``Mz' = Re(lift M) + stay Mz`` [1]_. The same pulse with its phase advanced
    by φ has ``flip exp(2iφ)``, ``tip exp(iφ)`` and ``lift exp(-iφ)``.

    References
    ----------
    .. [1] Pauly et al., IEEE Trans. Med. Imaging 10 (1991) 53, eq. 5.
    """

    keep: ComplexArray
    flip: ComplexArray
    tip: ComplexArray
    lift: ComplexArray
    stay: RealArray

    def reshaped(self, shape: tuple[int, int]) -> Rotation:
        """Give the same coefficients as arrays of another shape."""
        return Rotation(
            self.keep.reshape(shape),
            self.flip.reshape(shape),
            self.tip.reshape(shape),
            self.lift.reshape(shape),
            self.stay.reshape(shape),
        )


def step_spinor(nutation: ComplexArray, offset: RealArray, duration: float) -> tuple[ComplexArray, ComplexArray]:
    """Cayley-Klein parameters of a constant pulse, exact.

    Parameters
    ----------
    nutation
        γB1/2π with its phase [Hz].
    offset
        Resonance minus transmitter frequency [Hz], broadcasts against `nutation`.
    duration
        Length [s].
    """
    effective = np.sqrt(np.abs(nutation) ** 2 + offset**2)
    scale = np.pi * duration * np.sinc(effective * duration)
    alpha: ComplexArray = np.cos(np.pi * effective * duration) - 1j * offset * scale
    beta: ComplexArray = -1j * nutation * scale
    return alpha, beta


def then(
    first: tuple[ComplexArray, ComplexArray], second: tuple[ComplexArray, ComplexArray]
) -> tuple[ComplexArray, ComplexArray]:
    """Spinor of `first` followed by `second`."""
    (a1, b1), (a2, b2) = first, second
    return a2 * a1 - b2.conj() * b1, b2 * a1 + a2.conj() * b1


def rotation_of(spinor: tuple[ComplexArray, ComplexArray]) -> Rotation:
    """Rotation of magnetisation that belongs to Cayley-Klein parameters."""
    alpha, beta = spinor
    return Rotation(
        keep=alpha.conj() ** 2,
        flip=-(beta**2),
        tip=2 * alpha.conj() * beta,
        lift=-2 * alpha.conj() * beta.conj(),
        stay=np.abs(alpha) ** 2 - np.abs(beta) ** 2,
    )
