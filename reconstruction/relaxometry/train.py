"""The decay of an echo train with imperfect refocusing, in a plain sample or below the skin of a metal."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from knightshift.core.arrays import RealArray
from knightshift.core.quantities import PositiveSeconds, Radians
from knightshift.reconstruction.relaxometry.epg import cpmg_echoes

_DEEPEST = 6.0  # skin depths; the signal comes back with exp(-2 depth) and the pulse grows weaker besides


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

    def _echoes(self, t2: RealArray, refocusing: float, excitation: float) -> RealArray:
        return cpmg_echoes(
            self.t1, t2, refocusing, echo_spacing=self.echo_spacing, n_echoes=self.n_echoes, excitation=excitation
        )
