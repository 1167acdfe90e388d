"""Echo images in the layout of BIDS: ``sub-01/anat/sub-01_echo-1_MESE.nii.gz``, one file and side-car an echo."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from knightshift.core.durable import make_folder, write_durably
from knightshift.core.errors import InputError
from knightshift.reconstruction.export.nifti import nifti_bytes, sidecar
from knightshift.reconstruction.images import ImageSeries

_BIDS_VERSION = "1.10.0"
_LABEL = re.compile(r"[0-9a-zA-Z]{1,64}")


def write_bids(series: ImageSeries, folder: Path, subject: str, session: str | None = None) -> tuple[Path, ...]:
    """Write the magnitudes of a multi-echo series as a BIDS data set of one subject.

    Parameters
    ----------
    series
        At least two echo times. Slices in several directions become files with ``acq-stack1`` and so on.
    folder
        Root of the data set, made if need be; its ``dataset_description.json`` is written if there is none.
    subject
        Label of the subject: letters and digits.
    session
        Label of the session, if any.

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
    for name, label in (("subject", subject), ("session", session)):
        if label is not None and not _LABEL.fullmatch(label):
            raise InputError(f"BIDS {name} label {label!r}: use letters and digits only, such as 01 or cell3")
    if len(series.echo_times) < 2 or series.inversion_times is not None:
        raise InputError("BIDS MESE is for two or more echo times; these images do not step the echo time")
    stem = f"sub-{subject}" + ("" if session is None else f"_ses-{session}")
    place = folder / f"sub-{subject}" / ("" if session is None else f"ses-{session}") / "anat"
    make_folder(place, "making the folder")
    if not (folder / "dataset_description.json").exists():
        description = {"Name": "knightshift images", "BIDSVersion": _BIDS_VERSION, "DatasetType": "raw"}
        write_durably(folder / "dataset_description.json", _json(description))
    parts = series.split()
    paths: list[Path] = []
    for number, part in enumerate(parts, start=1):
        acquisition = "" if len(parts) == 1 else f"_acq-stack{number}"
        paths += _write_echoes(part, place, stem + acquisition)
    return tuple(paths)


def _write_echoes(series: ImageSeries, place: Path, stem: str) -> list[Path]:
    """Write one file and side-car for each echo of one stack of slices."""
    shared = sidecar(series)
    paths = []
    for echo, echo_time in enumerate(series.echo_times):
        path = place / f"{stem}_echo-{echo + 1}_MESE.nii.gz"
        volume = np.abs(series.images[echo])
        write_durably(path, nifti_bytes(volume, series.geometry, "magnitude, arbitrary units"))
        own = {
            **shared,
            "EchoTime": float(echo_time),
            "NoiseStandardDeviation": _number_or_none(float(series.noise_std[echo])),
        }
        write_durably(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), _json(own))
        paths.append(path)
    return paths


def _number_or_none(value: float) -> float | None:
    """Return a number that JSON knows, which NaN is not."""
    return value if np.isfinite(value) else None


def _json(fields: Mapping[str, object]) -> bytes:
    return (json.dumps(fields, indent=2) + "\n").encode()
