"""Golden-section search against minima that are known."""

from __future__ import annotations

import numpy as np

from knightshift.reconstruction.relaxometry.golden_section import golden_section


def test_minima_inside_and_at_either_end_are_found_at_once() -> None:
    lowest = np.array([-1.0, -0.3, 0.0, 0.7, 2.0])
    bracket = np.full(5, -1.0), np.full(5, 2.0)
    found = golden_section(lambda place: np.abs(place - lowest), bracket, 40)
    np.testing.assert_allclose(found, lowest, atol=3 * 0.619**40)
