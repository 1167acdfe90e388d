"""Nuclei and their frequencies."""

from __future__ import annotations

import pytest

from knightshift.core.errors import ConfigError
from knightshift.core.limits import ScannerLimits
from knightshift.core.nuclei import isotope_named, nucleus_named
from knightshift.core.yaml_files import read_config


def test_sodium_resonates_at_105_842_mhz_on_a_400_mhz_magnet() -> None:
    limits: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    assert nucleus_named("23Na").frequency(limits.b0) == pytest.approx(105.842e6, abs=1e3)
    assert nucleus_named("23Na").frequency(9.4) == pytest.approx(105.863e6, abs=1e3)


def test_knight_shift_of_the_metal_is_119_khz() -> None:
    sodium = nucleus_named("23Na")
    assert sodium.frequency(9.3982, 1126e-6) - sodium.frequency(9.3982) == pytest.approx(119.2e3, abs=50)


@pytest.mark.parametrize("name", ["23Na", "Na23", "23na", "na-23"])
def test_spelling_of_a_nucleus_is_forgiven(name: str) -> None:
    assert nucleus_named(name).name == "23Na"


@pytest.mark.parametrize("name", ["24Na", "", "Na", "23", "Unobtainium"])
def test_unknown_nucleus_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match="known are 1H, "):
        nucleus_named(name)


@pytest.mark.parametrize(("name", "canonical"), [("N15", "15N"), ("29si", "29Si"), ("23Na", "23Na")])
def test_data_may_be_of_isotopes_that_no_protocol_runs(name: str, canonical: str) -> None:
    assert isotope_named(name) == canonical


@pytest.mark.parametrize("name", ["1X", "", "12C", "Na"])
def test_what_is_no_isotope_with_a_spin_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="isotope with a spin, such as 23Na"):
        isotope_named(name)
