"""The decay of an echo train with imperfect refocusing, in a plain sample or below the skin of a metal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from knightshift.core.arrays import RealArray
from knightshift.core.quantities import PositiveSeconds, Radians
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry.epg import cpmg_echoes

TRAIN_CAUTION = (
    "the echoes are those of a train (one excitation) and were fitted as if each had an excitation of its own: "
    "stimulated echoes make T2 read too long, in metal with 6 ms between echoes 7 ms as about 8.8 and 16 ms as 17.8 ms"
)
"""What has to be said of a train that is fitted without a model of it."""

_DEEPEST = 6.0  # skin depths; the signal comes back with exp(-2 depth) and the pulse grows weaker besides


@dataclass(frozen=True)
class _Metal:
    """What is known of a metal in which B1 falls off with depth."""

    knight_shift: float
    t1_times_temperature: float  # [s K], the Korringa relation


# Knight shift of Na: Rees et al. 2020; of Li: Carter, Bennett & Kahan, Metallic shifts in NMR (1977).
# T1 T: Anderson & Redfield, Phys. Rev. 116 (1959) 583.
_METALS = {"23Na": _Metal(1126e-6, 5.1), "7Li": _Metal(260e-6, 44.0)}
_ROOM_TEMPERATURE = 298.0
_SHIFT_AGREEMENT = 0.2


class EchoTrain(BaseModel):
    """A CPMG train as the spins see it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    echo_spacing: PositiveSeconds
    """Time between two echoes; the first echo comes after one spacing [s]."""
    n_echoes: PositiveInt
    """Echoes after one excitation."""
    t1: PositiveSeconds
    """T1, held fixed [s]. For a metal it is 17 ms at 298 K (Korringa); see `docs/explanation/relaxometry.md` for how
    little T2 depends on it."""
    refocusing: Radians = np.pi
    """Refocusing angle, in a metal that at the surface [rad]."""
    excitation: Radians = np.pi / 2
    """Excitation angle, in a metal that at the surface [rad]."""
    field: Literal["uniform", "metal"] = "uniform"
    """``metal``: B1 and its phase fall off as ``exp(-(1 + i) depth / skin_depth)``, and again on reception. The skin
    depth itself drops out where the metal is thick."""
    depth_nodes: PositiveInt = Field(default=24, le=200)
    """Depths of the metal that are summed (Gauss-Legendre quadrature)."""

    @property
    def echo_times(self) -> RealArray:
        """Echo times [s], shape ``(echo,)``."""
        return np.asarray(self.echo_spacing * np.arange(1, self.n_echoes + 1))

    def decays(self, t2: RealArray) -> RealArray:
        """Size of the echoes for each T2.

        Parameters
        ----------
        t2
            [s], any shape ``image``.

        Returns
        -------
        RealArray
            Shape ``(echo, *image)``, in units of the signal of a full excitation without decay. In a uniform field
            negative where an echo is inverted (late echoes for a short T2); from a metal the
            size, since there each echo has a phase of its own, which the fit takes out.
        """
        t2 = np.asarray(t2, dtype=float)
        if self.field == "uniform":
            return self._echoes(t2, self.refocusing, self.excitation)
        nodes, weights = np.polynomial.legendre.leggauss(self.depth_nodes)
        total = np.zeros((self.n_echoes, *t2.shape), dtype=complex)
        reference = 0j
        for depth, weight in zip(_DEEPEST / 2 * (nodes + 1), weights, strict=True):
            strength = np.exp(-depth)
            seen = weight * strength * np.exp(-2j * depth)  # the phase of B1 once on the way in and once on the way out
            total += seen * self._echoes(t2, self.refocusing * strength, self.excitation * strength)
            reference += seen * np.sin(self.excitation * strength)
        return np.asarray(np.abs(total) / abs(reference))

    def t1_sensitivity(self, t2: float) -> float:
        """By how many percent T2 comes out wrong for each percent by which `t1` is: ``d ln T2 / d ln T1``.

        Parameters
        ----------
        t2
            True T2 [s].
        """
        step = 1e-3
        longer = self.model_copy(update={"t1": self.t1 * (1 + step)})
        decay, by_t2 = self.decays(np.array([t2, t2 * (1 + step)])).T
        along = decay / np.linalg.norm(decay)
        by_t1, by_t2 = longer.decays(np.array([t2]))[:, 0] - decay, by_t2 - decay
        by_t1, by_t2 = (change - along * (along @ change) for change in (by_t1, by_t2))
        return -float(by_t1 @ by_t2 / (by_t2 @ by_t2))

    def _echoes(self, t2: RealArray, refocusing: float, excitation: float) -> RealArray:
        return cpmg_echoes(
            self.t1, t2, refocusing, echo_spacing=self.echo_spacing, n_echoes=self.n_echoes, excitation=excitation
        )


def train_of(series: ImageSeries) -> EchoTrain | None:
    """Model of the echo train that a series was measured with, where all that it needs is known.

    That is the case for a metal, recognised by the Knight shift that the pulses were set to: T1 follows from the
    Korringa relation at 298 K, and B1 falls off with depth.

    Parameters
    ----------
    series
        Images, with the train they are of.

    Returns
    -------
    EchoTrain or None
        None for separate echoes, and for a train in anything but sodium or lithium metal.
    """
    train, metal = series.train, _METALS.get(series.nucleus or "")
    if train is None or metal is None or abs(train.shift / metal.knight_shift - 1) > _SHIFT_AGREEMENT:
        return None
    return EchoTrain(
        echo_spacing=train.echo_spacing,
        n_echoes=len(series.echo_times),
        t1=metal.t1_times_temperature / _ROOM_TEMPERATURE,
        refocusing=train.refocusing,
        excitation=train.excitation,
        field="metal",
    )
