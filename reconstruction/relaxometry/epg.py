"""Echo amplitudes of a spin-echo train by extended phase graphs.

Where refocusing is not 180 degrees, part of the magnetisation spends time along B0, where it decays with T1, and comes
back as stimulated echoes: the train then decays more slowly than ``exp(-t / T2)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knightshift.core.arrays import RealArray
from knightshift.core.errors import InputError


def cpmg_echoes(
    t1: ArrayLike,
    t2: ArrayLike,
    refocusing: ArrayLike,
    *,
    echo_spacing: float,
    n_echoes: int,
    excitation: ArrayLike = np.pi / 2,
) -> RealArray:
    """Amplitudes of the echoes of one CPMG train from equilibrium [1]_.

    Pulses are instantaneous, the refocusing phase is 90 degrees from the excitation, and crushers dephase whole cycles
    between any two pulses.

    Parameters
    ----------
    t1, t2
        Relaxation times [s].
    refocusing
        Refocusing angle [rad].
    echo_spacing
        Time between two echoes; the first echo comes after one spacing [s].
    n_echoes
        Number of echoes.
    excitation
        Excitation angle [rad].

    Returns
    -------
    RealArray
        Amplitudes in units of the equilibrium magnetisation, shape ``(echo, *image)`` with ``image`` the shape to which
        `t1`, `t2`, `refocusing` and `excitation` broadcast. Signed: negative where an echo is inverted.

    Raises
    ------
    InputError
        If a relaxation time or the echo spacing is not positive, or there is no echo.

    References
    ----------
    .. [1] Weigel, J. Magn. Reson. Imaging 41 (2015) 266.
    """
    values = (np.asarray(value, dtype=float) for value in (t1, t2, refocusing, excitation))
    t1, t2, refocusing, excitation = np.broadcast_arrays(*values)
    if not ((t1 > 0).all() and (t2 > 0).all() and echo_spacing > 0 and n_echoes > 0):
        raise InputError(
            f"t1, t2, echo_spacing ({echo_spacing:g} s) and n_echoes ({n_echoes}) must be positive, in seconds"
        )
    half = np.exp(-echo_spacing / 2 / t2), np.exp(-echo_spacing / 2 / t1)
    shape = (n_echoes + 2, *t1.shape)
    plus, minus, along = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    # With refocusing about the axis of the excited magnetisation all states stay real. Recovery along B0 enters the
    # state without dephasing only, and the crushers keep it from ever becoming an echo: it is left out.
    plus[0] = minus[0] = np.sin(excitation)
    echoes = np.empty((n_echoes, *t1.shape))
    for echo in range(n_echoes):
        _dephase(plus, minus, along, half)
        _refocus(plus, minus, along, refocusing)
        _dephase(plus, minus, along, half)
        echoes[echo] = plus[0]
    return echoes


def _dephase(
    plus: NDArray[np.float64],
    minus: NDArray[np.float64],
    along: NDArray[np.float64],
    decay: tuple[RealArray, RealArray],
) -> None:
    """Half an echo spacing: every state decays, transverse ones dephase by one more cycle; in place."""
    plus[1:] = plus[:-1]
    minus[:-1] = minus[1:]
    minus[-1] = 0
    plus[0] = minus[0]
    plus *= decay[0]
    minus *= decay[0]
    along *= decay[1]


def _refocus(
    plus: NDArray[np.float64], minus: NDArray[np.float64], along: NDArray[np.float64], angle: RealArray
) -> None:
    """Turn all states by `angle` about the axis of the excited magnetisation; in place."""
    cosine, sine = np.cos(angle), np.sin(angle)
    keep, swap = (1 + cosine) / 2, (1 - cosine) / 2
    turned_plus = keep * plus + swap * minus + sine * along
    turned_minus = swap * plus + keep * minus - sine * along
    along[:] = cosine * along - sine / 2 * (plus - minus)
    plus[:], minus[:] = turned_plus, turned_minus
