"""Exports by name: BIDS, MRD, NIfTI, CSV and NumPy."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from knightshift.core.durable import make_folder
from knightshift.core.errors import InputError
from knightshift.core.run_folder import open_run
from knightshift.reconstruction.export.analysis import Analysis, analyse_series
from knightshift.reconstruction.export.bids import BidsLabels, write_bids
from knightshift.reconstruction.export.maps import write_richer_maps, write_t2_maps
from knightshift.reconstruction.export.masks import write_masks
from knightshift.reconstruction.export.nifti import write_nifti
from knightshift.reconstruction.export.numpy_arrays import write_numpy
from knightshift.reconstruction.export.regions_table import write_region_tables
from knightshift.reconstruction.image_fit import T2Request
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.loading import load_series
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.run_scan import scan_of_run

MRD_FILE = "kspace.mrd"
"""Name of an exported MRD file."""


class ExportFormat(StrEnum):
    """What an export can be."""

    BIDS = "bids"
    """A BIDS data set: echo images (MESE), T2 map in seconds and masks as derivatives."""
    MRD = "mrd"
    """K-space as one MRD (ISMRMRD) file; of a run, the sum of its passes."""
    NIFTI = "nifti"
    """Magnitude images, T2 maps and masks as NIfTI with JSON side-cars."""
    CSV = "csv"
    """Regions, and voxels with their intervals, as tables."""
    NUMPY = "numpy"
    """Complex images, maps and masks as ``.npy`` with a description in JSON."""


def export(
    source: Path,
    formats: tuple[ExportFormat, ...],
    folder: Path,
    labels: BidsLabels | None = None,
    *,
    request: T2Request | None = None,
    series: ImageSeries | None = None,
) -> tuple[Path, ...]:
    """Export a run, raw data of a console or reconstructed images; what several formats need is made once.

    Parameters
    ----------
    source
        Run folder, raw data, or ``images.h5``; MRD needs the k-space of one of the first two.
    formats
        One or more.
    folder
        Made if need be; files of the same names are replaced. Of several formats each gets a folder of its own in it.
    labels
        Of the sample and session, for BIDS.
    request
        How T2 is fitted; by default with the complex estimator, wherever there is signal.
    series
        The images of `source`, where they are at hand; MRD does not use them.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    InputError
        If the data do not hold what a format is for, or a package that it needs is not installed.
    UnsupportedDataError, DamagedDataError
        As the readers say.
    StorageError
        If the disk is full or read-only.
    """
    labels = labels or BidsLabels()
    analysis = None
    if set(formats) - {ExportFormat.MRD}:
        analysis = analyse_series(load_series(source) if series is None else series, source, request)
    written: tuple[Path, ...] = ()
    for chosen in formats:
        place = folder if len(formats) == 1 else folder / chosen
        if chosen is ExportFormat.MRD or analysis is None:
            written += (write_kspace(source, place / MRD_FILE),)
        else:
            written += _write(chosen, analysis, place, labels)
    return written


def _write(chosen: ExportFormat, analysis: Analysis, folder: Path, labels: BidsLabels) -> tuple[Path, ...]:
    if chosen is ExportFormat.BIDS:
        return write_bids(analysis, folder, labels)
    writers = {
        ExportFormat.NIFTI: write_volumes,
        ExportFormat.CSV: write_region_tables,
        ExportFormat.NUMPY: write_numpy,
    }
    return writers[chosen](analysis, folder)


def write_volumes(analysis: Analysis, folder: Path) -> tuple[Path, ...]:
    """Write images and, where there is a fit, T2 maps and masks as NIfTI. Raises `StorageError`."""
    make_folder(folder)
    written = write_nifti(analysis.series, folder)
    if analysis.fit is not None:
        written += write_t2_maps(analysis.fit, analysis.series, folder)
        written += write_masks(analysis.fit, analysis.populations, analysis.series, folder)
    if analysis.richer is not None:
        written += write_richer_maps(analysis.richer, analysis.series, folder)
    return written


def write_kspace(source: Path, path: Path) -> Path:
    """Write the k-space of a scan, or the sum of the passes of a run, as MRD.

    Raises
    ------
    InputError
        If there is no k-space of images, or the package ``ismrmrd`` is not installed.
    """
    from knightshift.reconstruction.export.mrd import write_mrd

    scan = scan_of_run(open_run(source)) if detect(source) is RawKind.RUN else read_raw(source)
    if not isinstance(scan, KSpaceScan):
        raise InputError(f"{source}: holds no k-space of images, so there is nothing for MRD")
    make_folder(path.parent)
    write_mrd(scan, path)
    return path
