"""A BIDS data set: echo images as ``MESE`` in the raw part, the T2 map and masks as derivatives.

Gradient echoes are ``MEGRE`` and their map is a ``T2starmap``.

::

    dataset_description.json  README
    sub-01/anat/sub-01_echo-1_MESE.nii.gz and .json, one an echo
    derivatives/knightshift/dataset_description.json
    derivatives/knightshift/sub-01/anat/sub-01_T2map.nii.gz and .json     T2 in seconds
                                        sub-01_desc-std_T2map.nii.gz      its standard deviation in seconds
                                        sub-01_desc-analysed_mask.nii.gz and the other masks
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import RealArray
from knightshift.core.durable import make_folder, write_durably
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.export.analysis import AcquisitionFacts, Analysis
from knightshift.reconstruction.export.masks import mask_meaning, region_masks
from knightshift.reconstruction.export.nifti import nifti_bytes, sidecar
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.t2_symbol import in_symbol, t2_name

_BIDS_VERSION = "1.10.0"
_LABEL = re.compile(r"[0-9a-zA-Z]{1,64}")
_DERIVATIVES = Path("derivatives") / "knightshift"
_README = """\
Images of one sample at several echo times (suffix MESE; MEGRE: gradient echoes), written by knightshift.

A subject is a sample, such as a battery cell. The frame is that of the side-cars ("CoordinateSystem"). T2 or T2* maps,
in seconds, and masks are in derivatives/knightshift.
"""
_ECHOES = {
    "spin_echo_series": "separate spin echoes, one echo time an excitation",
    "multi_echo_spin_echo": "multi-echo spin echo (CPMG train)",
}


_VARIABLE_PROJECTION = "Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973) 413"
_RICIAN_LIKELIHOOD = "Sijbers et al., IEEE Trans. Med. Imaging 17 (1998) 357"
_PHASE_GRAPHS = "Weigel, J. Magn. Reson. Imaging 41 (2015) 266"
_OFFSET_AT_NOISE_FLOOR = "https://doi.org/10.1002/anie.202013066"


@dataclass(frozen=True)
class _Suffixes:
    """What BIDS calls echo images and the map of their relaxation time."""

    echoes: str
    relaxation_time: str


_OF_SPIN_ECHOES = _Suffixes("MESE", "T2map")
_OF_GRADIENT_ECHOES = _Suffixes("MEGRE", "T2starmap")


def _suffixes(series: ImageSeries) -> _Suffixes:
    return _OF_GRADIENT_ECHOES if series.refocused is False else _OF_SPIN_ECHOES


@dataclass(frozen=True)
class BidsLabels:
    """What a sample and a session are called: letters and digits."""

    subject: str = "01"
    """Label of the sample."""
    session: str | None = None
    """Label of the session, if any."""

    def __post_init__(self) -> None:
        for name, label in (("subject", self.subject), ("session", self.session)):
            if label is not None and not _LABEL.fullmatch(label):
                raise InputError(f"BIDS {name} label {label!r}: use letters and digits only, such as 01 or cell3")

    @property
    def stem(self) -> str:
        """How names of files begin."""
        return f"sub-{self.subject}" + ("" if self.session is None else f"_ses-{self.session}")

    @property
    def folder(self) -> Path:
        """Where images lie below the root."""
        return Path(f"sub-{self.subject}", *(() if self.session is None else (f"ses-{self.session}",)), "anat")


def write_bids(analysis: Analysis, folder: Path, labels: BidsLabels) -> tuple[Path, ...]:
    """Write images and T2 map as a BIDS data set, or add them to one.

    Parameters
    ----------
    analysis
        Images at two or more echo times. Slices in several directions become files with ``acq-stack1`` and so on.
    folder
        Root of the data set, made if need be; its ``dataset_description.json`` is written if there is none.
    labels
        Whose they are.

    Returns
    -------
    tuple of Path
        The NIfTI files.

    Raises
    ------
    InputError
        If a label is not made of letters and digits, or there is one echo time only.
    StorageError
        If the disk is full or read-only.
    """
    series = analysis.series
    if len(series.echo_times) < 2 or series.inversion_times is not None or analysis.fit is None:
        raise InputError("BIDS MESE and MEGRE are for two or more echo times; these images do not step the echo time")
    _write_root(folder, {"Name": "knightshift images", "BIDSVersion": _BIDS_VERSION, "DatasetType": "raw"})
    generator = {"Name": "knightshift", "Version": version("knightshift")}
    _write_root(folder / _DERIVATIVES, {
        "Name": "knightshift relaxation maps", "BIDSVersion": _BIDS_VERSION, "DatasetType": "derivative",
        "GeneratedBy": [generator], "SourceDatasets": [{"URL": "../.."}],
    })  # fmt: skip
    make_folder(folder / labels.folder, "making the folder")
    make_folder(folder / _DERIVATIVES / labels.folder, "making the folder")
    paths: list[Path] = []
    parts = series.split()
    for number, (part, stack) in enumerate(zip(parts, series.slice_stacks, strict=True), start=1):
        stem = labels.stem + ("" if len(parts) == 1 else f"_acq-stack{number}")
        echoes = _write_echoes(part, analysis.acquisition, folder / labels.folder, stem)
        sources = [f"bids:raw:{path.relative_to(folder).as_posix()}" for path in echoes]
        maps = _maps(analysis, analysis.fit, list(stack.slices), sources)
        paths += [*echoes, *_write_maps(maps, part.geometry, folder / _DERIVATIVES / labels.folder, stem)]
    return tuple(paths)


def _write_root(folder: Path, description: Mapping[str, object]) -> None:
    """Write what stands at the root of a data set, unless it is there."""
    make_folder(folder, "making the folder")
    for name, content in (("dataset_description.json", _json(description)), ("README", _README.encode())):
        if not (folder / name).exists():
            write_durably(folder / name, content)


def _write_echoes(series: ImageSeries, acquisition: AcquisitionFacts, place: Path, stem: str) -> list[Path]:
    """Write one file and side-car for each echo of one stack of slices."""
    shared = {**sidecar(series), **_acquisition_fields(acquisition)}
    paths = []
    for echo, echo_time in enumerate(series.echo_times):
        path = place / f"{stem}_echo-{echo + 1}_{_suffixes(series).echoes}.nii.gz"
        volume = np.abs(series.images[echo])
        own = {
            **shared,
            "EchoTime": float(echo_time),
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "NoiseStandardDeviation": number_or_none(series.noise_std[echo]),
        }
        _write_volume(path, volume, series.geometry, own)
        paths.append(path)
    return paths


def _acquisition_fields(acquisition: AcquisitionFacts) -> dict[str, object]:
    """Metadata of BIDS that are known."""
    fields: dict[str, object] = {
        "RepetitionTimeExcitation": acquisition.repetition_time,
        "FlipAngle": None if acquisition.flip_angle is None else math.degrees(acquisition.flip_angle),
        "DwellTime": acquisition.dwell_time,
        "MagneticFieldStrength": acquisition.b0,
        "ManufacturersModelName": acquisition.device,
        "PulseSequenceDetails": acquisition.protocol,
        "PulseSequenceType": _ECHOES.get(acquisition.kind or ""),
    }
    return {name: value for name, value in fields.items() if value is not None}


_Maps = dict[str, tuple[RealArray | NDArray[np.uint8], dict[str, object]]]


def _maps(analysis: Analysis, fit: T2Fit, slices: list[int], sources: list[str]) -> _Maps:
    """Volumes of the derivatives with their side-cars, by the end of their names."""
    estimation = {
        "EstimationAlgorithm": in_symbol(fit.methods_sentence(), t2_name(analysis.series)),
        **_estimation_reference(fit),
    }
    shared = {"Sources": sources, "Units": "s", "SkullStripped": False, **estimation}
    name, t2 = _suffixes(analysis.series).relaxation_time, t2_name(analysis.series)
    std = f"standard deviation of {t2}; NaN where there is no {t2}"
    maps: _Maps = {
        name: (fit.t2[slices], {**shared, "Description": f"{t2} of each voxel; NaN where it was not determined"}),
        f"desc-std_{name}": (fit.t2_std[slices], {**shared, "Description": std}),
    }
    for region, mask in region_masks(fit, analysis.populations, analysis.series.nucleus).items():
        meaning = in_symbol(mask_meaning(region), t2)
        own: dict[str, object] = {"Sources": sources, "Type": "ROI", "Description": meaning}
        maps[f"desc-{region}_mask"] = mask[slices].astype(np.uint8), own
    return maps


def _estimation_reference(fit: T2Fit) -> dict[str, object]:
    """Name the literature "on which the implementation is based" (BIDS); nothing where that is textbook matter."""
    options, named = fit.options, []
    if options.estimator == "rician":
        named.append(_RICIAN_LIKELIHOOD)
    elif options.offset != "noise-quadrature":
        named.append(_VARIABLE_PROJECTION)
    if options.offset == "noise":
        named.append(_OFFSET_AT_NOISE_FLOOR)
    if options.train is not None:
        named.append(_PHASE_GRAPHS)
    return {"EstimationReference": "; ".join(named)} if named else {}


def _write_maps(maps: _Maps, geometry: ImageGeometry, place: Path, stem: str) -> list[Path]:
    paths = [place / f"{stem}_{name}.nii.gz" for name in maps]
    for path, (volume, fields) in zip(paths, maps.values(), strict=True):
        _write_volume(path, volume, geometry, fields)
    return paths


def _write_volume(
    path: Path, volume: RealArray | NDArray[np.uint8], geometry: ImageGeometry, fields: Mapping[str, object]
) -> None:
    units = str(fields.get("Units", ""))
    write_durably(path, nifti_bytes(volume, geometry, f"units: {units}" if units else ""))
    write_durably(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), _json(fields))


def _json(fields: Mapping[str, object]) -> bytes:
    return (json.dumps(fields, indent=2) + "\n").encode()
