"""Arrays of this package as ``xarray`` objects: named axes, positions and times along them, units in ``attrs``.

The package ``xarray`` is the extra of that name; it is imported when a labelled array is asked for.
"""

from __future__ import annotations

from collections.abc import Hashable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from knightshift.core.errors import InputError
from knightshift.reconstruction.export.maps import fit_maps, richer_kinds
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan, Spectrum
from knightshift.reconstruction.relaxometry import ModelVerdict, RicherFit, T2Fit, T2Status
from knightshift.reconstruction.t2_symbol import in_symbol, t2_name

if TYPE_CHECKING:
    import xarray as xr

_KSPACE = ("repetition", "echo", "slice", "channel", "line", "sample")


def xarray_or_error() -> ModuleType:
    """Import ``xarray``. Raises `InputError`, which tells how to install it, where it is missing."""
    try:
        import xarray
    except ImportError:
        raise InputError(
            "labelled arrays need the xarray package: install the extra with pip install 'knightshift[xarray]'; "
            "without it, `.series` holds the same images as a NumPy array"
        ) from None
    return xarray


def image_array(series: ImageSeries) -> xr.DataArray:
    """Complex images with dimensions ``echo_time`` (or ``inversion_time``) and the axes of the series.

    Raises
    ------
    InputError
        If the slices lie in several directions: one set of positions does not hold for all; split the series first.
    """
    name, times = _steps(series)
    coordinates: dict[Hashable, Any] = {name: (name, times, {"units": "s"}), **_positions(series)}
    coordinates["noise_std"] = (name, series.noise_std, {"units": "arbitrary", "long_name": "noise of the real part"})
    attributes: dict[str, Any] = {
        "units": "arbitrary",
        "nucleus": series.nucleus or "unknown",
        "frame": series.provenance.get("frame", "unknown"),
        "methods": " ".join(series.methods),
    }
    if series.working_frequency is not None:
        attributes["working_frequency_Hz"] = series.working_frequency
    return _array("images", series.images, (name, *series.axes), coordinates, attributes)


def t2_dataset(fit: T2Fit, series: ImageSeries) -> xr.Dataset:
    """Label ``t2``, ``t2_std``, ``amplitude``, ``chi2`` and ``status`` with the positions of the images.

    Of a train whose voxels have a B1 or T1 of their own, ``train_b1`` and ``train_t1`` too.
    """
    of = t2_name(series)
    statuses = {
        "long_name": f"why a voxel has a {of}, or none",
        "flag_values": [int(status) for status in T2Status],
        "flag_meanings": " ".join(status.name.lower() for status in T2Status),
    }
    maps = {
        "t2": (fit.t2, {"units": "s", "long_name": of}),
        "t2_std": (fit.t2_std, {"units": "s", "long_name": f"standard deviation of {of}"}),
        "amplitude": (fit.amplitude, {"units": "arbitrary", "long_name": "signal at echo time zero"}),
        "chi2": (fit.chi2, {"units": "1", "long_name": "squared residuals over noise variance"}),
        "status": (fit.status, {"units": "1", **statuses}),
    }
    for one, values in fit_maps(fit).items():
        if one.name.startswith("train_"):
            maps[one.name] = values, {"units": one.units, "long_name": one.meaning}
    variables = {name: (series.axes, values, attributes) for name, (values, attributes) in maps.items()}
    return _dataset(variables, _positions(series), {"methods": in_symbol(fit.methods_sentence(), of)})


def richer_dataset(richer: RicherFit, series: ImageSeries) -> xr.Dataset:
    """Label the maps of a richer decay, ``t2``, ``t2_std``, ``verdict`` and so on, with the positions of the images."""
    variables = {}
    of = t2_name(series)
    for one in richer_kinds(richer.model):
        attributes: dict[str, Any] = {"units": one.units, "long_name": in_symbol(one.meaning, of)}
        if one.quantity == "verdict":
            attributes["flag_values"] = [int(verdict) for verdict in ModelVerdict]
            attributes["flag_meanings"] = " ".join(verdict.name.lower() for verdict in ModelVerdict)
        variables[one.quantity] = (series.axes, getattr(richer, one.quantity), attributes)
    return _dataset(variables, _positions(series), {"methods": in_symbol(richer.methods_sentence(), of)})


def kspace_array(scan: KSpaceScan) -> xr.DataArray:
    """K-space with dimensions ``(repetition, echo, slice, channel, line, sample)``, lines in order of acquisition."""
    coordinates: dict[Hashable, Any] = {"line_step": ("line", scan.line_steps, {"units": "1"})}
    if scan.inversion_times is None:
        coordinates["echo_time"] = ("echo", scan.echo_times, {"units": "s"})
    else:
        coordinates["inversion_time"] = ("echo", scan.inversion_times, {"units": "s"})
    if scan.dwell_time is not None:
        times = (np.arange(scan.kspace.shape[-1]) - scan.center_sample) * scan.dwell_time
        coordinates["time"] = ("sample", times, {"units": "s", "long_name": "time from k = 0"})
    attributes = {"units": "arbitrary", **_origin(scan)}
    return _array("kspace", np.asarray(scan.kspace), _KSPACE, coordinates, attributes)


def fid_array(series: FidSeries) -> xr.DataArray:
    """FIDs with dimensions ``(step, time)``.

    Raises
    ------
    InputError
        If the console kept spectra only.
    """
    if series.frequencies is not None:
        raise InputError(f"{series.source}: holds spectra, not FIDs: use `.spectra`")
    times = np.arange(series.values.shape[1]) * series.dwell_time
    coordinates: dict[Hashable, Any] = {"time": ("time", times, {"units": "s"}), **_step_times(series)}
    return _array("fids", series.values, ("step", "time"), coordinates, {"units": "arbitrary", **_origin(series)})


def spectrum_arrays(series: FidSeries) -> xr.DataArray:
    """Spectra with dimensions ``(step, frequency)``, the shift beside the frequency where a reference is known."""
    coordinates: dict[Hashable, Any] = {
        "frequency": ("frequency", series.offsets, {"units": "Hz"}),
        **_step_times(series),
    }
    if (shifts := series.shifts) is not None:
        coordinates["shift"] = ("frequency", 1e6 * shifts, {"units": "ppm"})
    attributes = {"units": "arbitrary", **_origin(series)}
    return _array("spectra", series.spectra, ("step", "frequency"), coordinates, attributes)


def spectrum_array(spectrum: Spectrum) -> xr.DataArray:
    """One spectrum along ``frequency`` [Hz from the receiver], the shift [ppm] beside it."""
    coordinates: dict[Hashable, Any] = {
        "frequency": ("frequency", spectrum.frequencies, {"units": "Hz"}),
        "shift": ("frequency", 1e6 * spectrum.shift, {"units": "ppm"}),
    }
    attributes = {
        "units": "arbitrary",
        "nucleus": spectrum.nucleus or "unknown",
        "noise_std": spectrum.noise_std,
        "working_frequency_Hz": spectrum.working_frequency,
        "methods": " ".join(spectrum.methods),
    }
    return _array("spectrum", spectrum.values, ("frequency",), coordinates, attributes)


def _steps(series: ImageSeries) -> tuple[str, Any]:
    """Name and values [s] of what is stepped along the first axis."""
    if series.inversion_times is not None:
        return "inversion_time", series.inversion_times
    return "echo_time", series.echo_times


def _positions(series: ImageSeries) -> dict[Hashable, Any]:
    """Position along each image axis [m]: in the laboratory for own runs, else from the isocentre along that axis."""
    if len(series.stacks) > 1:
        raise InputError(
            f"the slices lie in {len(series.stacks)} directions, so that no one position holds for all: use `.stacks`"
        )
    geometry = series.geometry
    positions: dict[Hashable, Any] = {}
    for number, name in enumerate(series.axes):
        start = float(geometry.origin @ geometry.directions[number])
        steps = np.arange(series.images.shape[number + 1]) * geometry.voxel_size[number]
        positions[name] = (name, start + steps, {"units": "m"})
    return positions


def _step_times(series: FidSeries) -> dict[Hashable, Any]:
    if series.delays is not None:
        return {"delay": ("step", series.delays, {"units": "s"})}
    return {} if series.counts is None else {"count": ("step", series.counts, {"units": "1"})}


def _origin(raw: KSpaceScan | FidSeries) -> dict[str, Any]:
    """Attributes that tell where raw data come from."""
    attributes: dict[str, Any] = {"format": raw.format, "source": str(raw.source), "nucleus": raw.nucleus or "unknown"}
    if raw.working_frequency is not None:
        attributes["working_frequency_Hz"] = raw.working_frequency
    return attributes


def _array(
    name: str, values: Any, dims: tuple[str, ...], coordinates: dict[Hashable, Any], attributes: dict[str, Any]
) -> xr.DataArray:
    array: xr.DataArray = xarray_or_error().DataArray(values, coordinates, dims, name=name, attrs=attributes)
    return array


def _dataset(variables: dict[str, Any], coordinates: dict[Hashable, Any], attributes: dict[str, Any]) -> xr.Dataset:
    dataset: xr.Dataset = xarray_or_error().Dataset(variables, coordinates, attributes)
    return dataset


def pass_table(columns: dict[str, tuple[Any, dict[str, str]]], index: Any) -> xr.Dataset:
    """Columns along the dimension ``pass``, each with its attributes."""
    variables = {name: ("pass", values, attributes) for name, (values, attributes) in columns.items()}
    return _dataset(variables, {"pass": index}, {})


def sample_array(samples: Any, times: Any, attributes: dict[str, Any]) -> xr.DataArray:
    """Label the samples of one pass: ``(readout, channel, time)``."""
    coordinates: dict[Hashable, Any] = {"time": ("time", times, {"units": "s", "long_name": "time from the echo"})}
    return _array("samples", samples, ("readout", "channel", "time"), coordinates, attributes)
