"""Averages outermost: a night cut short is a whole image, whose SNR grows with the root of the passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knightshift.acquisition import AcquisitionOptions, ProgressEvent, ProgressKind, RunStatus, acquire, resume
from knightshift.acquisition.stop_request import StopRequest
from knightshift.cli.scanning import new_scanner, scanner_of_run
from knightshift.core.clock import VirtualClock
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import validate
from knightshift.hardware.site import SiteConfig, load_site
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.sequences import Protocol, build, load_protocol

N_AVERAGES = 40
FRACTIONS = (0.10, 0.25, 0.50, 0.75, 1.0)


def site(noise_density: float) -> SiteConfig:
    """The simulated scanner with a noise of our choice, without drifts, on a coarse grid of isochromats."""
    shipped = load_site("simulated")
    receiver = {**shipped.settings["receiver"], "noise_density": noise_density}
    coarse = {"spacing": "100 um", "depth_nodes": 4, "depth": 4.0, "spins_along_x": 5, "frequencies": 1}
    settings = {"phantom": "shorted", "nuclei": ["23Na"], "receiver": receiver, "isochromats": coarse, "threads": 1}
    return shipped.model_copy(update={"settings": settings})


def protocol(averages: int) -> Protocol:
    """`overnight_t2` with two echo times and a matrix of 24 x 16."""
    shipped = load_protocol("overnight_t2").model_dump(exclude_none=True)
    changes = {
        "name": "small", "matrix": {"y": 24, "z": 16}, "field_of_view": {"y": 4.8e-3, "z": 2.208e-3},
        "echo_times": [4e-3, 13e-3], "averages": averages,
    }  # fmt: skip
    shipped.pop("duration", None)
    return validate(Protocol, shipped | changes, "test")


def interrupted(runs: Path, noise_density: float, stops: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    """Acquire, stop after so many passes each time, look at the image, and go on.

    Returns
    -------
    list of tuple
        Passes so far, and complex images of shape ``(echo, z, y)``.
    """
    clock, plan = VirtualClock(), site(noise_density)
    measurement = build(protocol(stops[-1] // 2), plan.limits)
    scanner, setup = new_scanner(plan, clock, phantom=None, seed=1)
    path: Path | None = None
    looks = []
    for count in stops:
        stop = StopRequest()

        def enough(event: ProgressEvent, stop: StopRequest = stop, count: int = count) -> None:
            if event.kind is ProgressKind.COMMITTED and event.n_committed == count - 1:
                stop.request("enough")  # the pass that plays is the last

        options = AcquisitionOptions(stop=stop, run_name="night", disk_margin=0)
        if path is None:
            result = acquire(measurement, scanner, runs, setup=setup, clock=clock, options=options, on_progress=enough)
        else:
            again, its_clock = scanner_of_run(path)
            result = resume(path, again, clock=its_clock, options=options, on_progress=enough)
        path = result.path
        assert result.status is (RunStatus.COMPLETED if count == stops[-1] else RunStatus.STOPPED)
        looks.append((len(open_run(path).commits()), reconstruct(path).images[:, 0]))
    return looks


@pytest.mark.timeout(120)
def test_image_snr_grows_with_the_root_of_the_passes_wherever_the_night_is_cut(tmp_path: Path) -> None:
    n_passes = 2 * N_AVERAGES
    stops = tuple(int(fraction * n_passes) for fraction in FRACTIONS)
    ((_, pure),) = interrupted(tmp_path / "pure", 1e-12, (2,))
    looks = interrupted(tmp_path / "noisy", 8e-6, stops)
    assert [count for count, _ in looks] == list(stops)
    cell = np.abs(pure) > 0.5 * np.abs(pure).max(axis=(1, 2), keepdims=True)
    snr = []
    for _, images in looks:
        signal = [np.abs(np.vdot(pure[echo][cell[echo]], images[echo][cell[echo]])) for echo in range(2)]
        noise = [np.std([(images - pure)[echo].real, (images - pure)[echo].imag]) for echo in range(2)]
        snr.append(np.divide(signal, noise))
    growth = np.array(snr) / snr[-1]
    expected = np.sqrt(np.array(stops) / n_passes)[:, None]
    np.testing.assert_allclose(growth / expected, 1.0, atol=0.10)
