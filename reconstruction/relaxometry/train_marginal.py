"""T2 from an echo train whose T1 is known only within a range: averaged over what the data leave possible."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry.fit import fit_t2_maps
from knightshift.reconstruction.relaxometry.options import T2Options
from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status
from knightshift.reconstruction.relaxometry.train import EchoTrain


@dataclass(frozen=True)
class MarginalFit:
    """T2 of a train without a T1 having been chosen."""

    fit: T2Fit
    """``t2`` is the mean over T1, ``t2_std`` holds what not knowing T1 costs; amplitude and chi2 are means too."""
    t1: RealArray
    """Mean of T1 after the fit [s], shape ``image``; about that of the prior, since five echoes hardly know it."""
    sensitivity: RealArray
    """``d ln T2 / d ln T1`` within the range: by how many percent T2 would change for each percent of T1, shape
    ``image``."""


def fit_train_marginal(
    signal: RealArray | ComplexArray,
    train: EchoTrain,
    *,
    t1_range: tuple[float, float],
    noise_std: ArrayLike,
    mask: BoolArray | None = None,
    nodes: int = 15,
) -> MarginalFit:
    """Fit T2 to an echo train, marginal over a T1 that is uniform in ``ln T1`` within a range.

    T2 is fitted at each node of a Gauss-Legendre quadrature over ``ln T1``; a node weighs as much as the likelihood
    there, integrated over T2 and amplitude (Laplace's approximation).

    Parameters
    ----------
    signal
        Complex images, or magnitudes well above the noise; shape ``(echo, *image)``.
    train
        The train; its T1 is not used.
    t1_range
        Shortest and longest T1 [s].
    noise_std
        Noise of the real part, one number or shape ``(echo,)``.
    mask
        Voxels to fit, shape ``image``; by default all.
    nodes
        Of the quadrature; their distance should not exceed what the data tell of T1.

    Raises
    ------
    InputError
        If the range is empty or not positive, or there are fewer than two nodes.
    """
    shortest, longest = t1_range
    if not 0 < shortest < longest or nodes < 2:
        raise InputError(
            f"t1_range {t1_range} s must hold a shorter and a longer positive T1, nodes ({nodes}) must be two or more"
        )
    places, shares = np.polynomial.legendre.leggauss(nodes)
    middle, half = np.log(shortest * longest) / 2, np.log(longest / shortest) / 2
    log_t1 = middle + half * places
    estimator = "complex" if np.iscomplexobj(signal) else "gaussian"
    fits = []
    for value in log_t1:
        options = T2Options(estimator=estimator, train=train.model_copy(update={"t1": float(np.exp(value))}))
        fits.append(fit_t2_maps(signal, train.echo_times, options, noise_std=noise_std, mask=mask))
    return _average(fits, log_t1, shares)


def _average(fits: list[T2Fit], log_t1: RealArray, shares: RealArray) -> MarginalFit:
    """Mean over the nodes, weighted by share and likelihood; a voxel needs a T2 at every node."""
    t2, t2_std, amplitude, chi2 = (
        np.stack([getattr(fit, name) for fit in fits]) for name in ("t2", "t2_std", "amplitude", "chi2")
    )
    status = fits[len(fits) // 2].status.copy()
    lost = ~np.all([fit.ok for fit in fits], axis=0)
    for fit in fits:
        worse = lost & (status == T2Status.OK) & ~fit.ok
        status[worse] = fit.status[worse]
    column = (-1,) + (1,) * status.ndim
    weight = shares.reshape(column) * amplitude * t2_std / t2 * np.exp(-(chi2 - chi2.min(axis=0)) / 2)
    weight /= weight.sum(axis=0)

    def mean(values: RealArray) -> RealArray:
        return np.asarray((weight * values).sum(axis=0))

    place = log_t1.reshape(column)
    centre, log_mean = mean(np.broadcast_to(place, t2.shape)), mean(np.log(t2))
    slope = mean((place - centre) * (np.log(t2) - log_mean)) / mean((place - centre) ** 2)
    t2_mean = mean(t2)
    spread = np.sqrt(mean(t2_std**2 + (t2 - t2_mean) ** 2))
    options = fits[0].options
    if options.train is not None:
        at_middle = options.train.model_copy(update={"t1": float(np.exp(log_t1.mean()))})
        options = options.model_copy(update={"train": at_middle})
    fit = replace(
        fits[0], t2=t2_mean, t2_std=spread, amplitude=mean(amplitude), chi2=mean(chi2), status=status, options=options
    )
    return MarginalFit(fit, np.exp(centre), slope)
