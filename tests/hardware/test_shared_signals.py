"""Scanners of one process that are equal share the signals they have computed; others never do."""

from __future__ import annotations

from knightshift.core.yaml_files import validate
from knightshift.hardware.simulated import load_phantom
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.simulated.signals import library_of


def test_equal_scanners_share_a_library_and_different_ones_do_not(phantom_file) -> None:
    settings = validate(SimulatorSettings, {"receiver": {"sensitivity": 0.1, "noise_density": 1e-5}}, "test")
    library = library_of(load_phantom(phantom_file), 9.4, settings)
    assert library_of(load_phantom(phantom_file), 9.4, settings.model_copy()) is library
    assert library_of(load_phantom(phantom_file), 9.39, settings) is not library
    weaker = settings.model_copy(update={"transmit_scale": 0.9})
    assert library_of(load_phantom(phantom_file), 9.4, weaker) is not library
    assert library_of(load_phantom("pristine"), 9.4, settings) is not library
