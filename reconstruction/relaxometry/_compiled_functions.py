"""Functions of the Rician likelihood for compiled loops, in single precision: fractions of polynomials.

They need no table, so that loops over voxels become vector instructions; `rician` has them more exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from knightshift.reconstruction.relaxometry._kernel_tools import inlined
from knightshift.reconstruction.relaxometry.rician import RATIO_ABOVE, RATIO_BELOW, SHORTFALL_ABOVE

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
_LARGEST = np.float32(1e4)  # from this argument on what is left goes with one over it

_HALF_LOG_2PI = np.float32(np.log(2 * np.pi) / 2)


def _single(*coefficients: float) -> tuple[Any, ...]:
    return tuple(np.float32(value) for value in coefficients)


_P, _Q = _single(*RATIO_ABOVE), _single(*RATIO_BELOW)
_S = _single(*SHORTFALL_ABOVE)  # Q - z P

# Numerator and denominator by rising power, fitted to the smallest largest error.
_LOG_BESSEL = (
    _single(0.6250482314, -3.244416846, 14.92876058, -17.15883595, 26.84592645, 107.7505418),
    _single(1, -5.88976177, 27.33586016, -46.3544, 92.5795009, -25.27525566, 97.79626273),
)
_INFORMATION = (
    _single(0.99992281, -5.894500317, 15.35874578, -17.03865737, 6.574770151),
    _single(1, -5.902888065, 16.02180968, -20.06324458, 12.58497743),
)
_LEAST_LOSS = (
    _single(-0.1249882299, 0.3215750155, -0.7089244579, 0.2432979328, -0.1354946194, -0.7807024938),
    _single(1, -2.952549468, 6.616124737, -4.617394089, 4.335994026, 0.08178866109),
)


@inlined
def ratio(z: Any) -> tuple[Any, Any]:
    """``1 - r`` and ``1 - r**2 - r / z``, where ``r = I1(z) / I0(z)``; ``z >= 0``."""
    share = _LARGEST / max(z, _LARGEST)
    z = min(z, _LARGEST)
    below = _Q[0] + z * (_Q[1] + z * (_Q[2] + z * (_Q[3] + z * (_Q[4] + z * (_Q[5] + z * (_Q[6] + z * _Q[7]))))))
    above = _P[0] + z * (_P[1] + z * (_P[2] + z * (_P[3] + z * (_P[4] + z * (_P[5] + z * _P[6])))))
    short = _S[0] + z * (_S[1] + z * (_S[2] + z * (_S[3] + z * (_S[4] + z * (_S[5] + z * _S[6])))))
    share /= below
    short *= share
    return short, short + short - short * short - above * share


@inlined
def log_bessel(inverse: Any) -> Any:
    """``ln(exp(-z) I0(z)) + ln(1 + z) / 2`` of ``inverse = 1 / (1 + z)``: off by less than 1e-6."""
    u, p, q = inverse, _LOG_BESSEL[0], _LOG_BESSEL[1]
    above = p[0] + u * (p[1] + u * (p[2] + u * (p[3] + u * (p[4] + u * p[5]))))
    below = q[0] + u * (q[1] + u * (q[2] + u * (q[3] + u * (q[4] + u * (q[5] + u * q[6])))))
    return u * above / below - _HALF_LOG_2PI


@inlined
def information(signal: Any) -> Any:
    """Fisher information of one magnitude about its signal: off by less than 1e-4."""
    u, p, q = _ONE / (_ONE + signal), _INFORMATION[0], _INFORMATION[1]
    above = p[0] + u * (p[1] + u * (p[2] + u * (p[3] + u * p[4])))
    return above / (q[0] + u * (q[1] + u * (q[2] + u * (q[3] + u * q[4]))))


@inlined
def least_loss(square: Any, inverse: Any) -> Any:
    """Loss of the best signal less ``ln(max(m**2, 2)) / 2``, of ``m**2`` and ``2 / max(m**2, 2)``: off by 1e-6.

    Up to a magnitude of ``sqrt(2)`` no signal is the best one, and the loss is ``m**2 / 2``.
    """
    u, p, q = inverse, _LEAST_LOSS[0], _LEAST_LOSS[1]
    above = p[0] + u * (p[1] + u * (p[2] + u * (p[3] + u * (p[4] + u * p[5]))))
    below = q[0] + u * (q[1] + u * (q[2] + u * (q[3] + u * (q[4] + u * q[5]))))
    return u * above / below + _HALF_LOG_2PI + _HALF * min(square - _TWO, _ZERO)
