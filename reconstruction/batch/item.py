"""One item of a batch, from raw data to its folder of results; runs in the process of a worker.

It may run twice at the same time, since a scheduler that has lost sight of a worker gives its work to another: results
are made in a folder of their own and moved to their place at once, with the record in them.
"""

from __future__ import annotations

import shutil
import time
import uuid
from pathlib import Path

import h5py

from knightshift.core.durable import make_folder, move_durably
from knightshift.core.errors import InputError, KnightshiftError, StorageError
from knightshift.reconstruction.batch.content_digest import digest_with_files
from knightshift.reconstruction.batch.found_times import time_of_voxels
from knightshift.reconstruction.batch.item_log import named_by_item
from knightshift.reconstruction.batch.records import (
    RECORD_FILE,
    BatchOptions,
    ItemError,
    ItemRecord,
    read_record,
    write_record,
)
from knightshift.reconstruction.batch.spectra import treat_spectra
from knightshift.reconstruction.console_images import TimedImages, with_times_given
from knightshift.reconstruction.export.analysis import Analysis, analyse_series
from knightshift.reconstruction.export.folder import save_images
from knightshift.reconstruction.export.images_file import FILE_NAME, write_images_file
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.image_fit import T2Request, applicable
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.loading import is_images, load_series, run_or_none
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import denoised, images_of_scan, reconstruct
from knightshift.reconstruction.storage import disk_storage
from knightshift.reconstruction.t2_symbol import t2_name


@named_by_item
def process_item(name: str, source: str, output: str, options: str) -> str:
    """Reconstruct and fit one item, unless an earlier batch has done so with the same content and options.

    Parameters
    ----------
    name
        Of the item; its results go to ``output/name``.
    source
        Run, raw data or images.
    output
        Folder of the batch.
    options
        `BatchOptions` as JSON.

    Returns
    -------
    str
        `ItemRecord` as JSON; an error of the data is in it.

    Raises
    ------
    StorageError
        If the disk of the results refuses: no other item would fare better.
    """
    chosen = BatchOptions.model_validate_json(options).of_item(name)
    started = time.perf_counter()
    place, key = Path(output) / name, None
    part = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        key = chosen.key(digest_with_files(Path(source), chosen.files.values()))
        if (earlier := read_record(place)) is not None and earlier.key == key:
            return earlier.model_copy(update={"repeated": False, "source": source}).model_dump_json()
        make_folder(part)
        record = _make(Path(source), part, chosen, ItemRecord(name=name, source=source, status="done", key=key))
    except StorageError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    except KnightshiftError as error:
        shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        why = ItemError(kind=type(error).__name__, message=str(error))
        record = ItemRecord(name=name, source=source, status="failed", key=key, error=why)
    record = record.model_copy(update={"seconds": round(time.perf_counter() - started, 3)})
    write_record(record, part)
    put_in_place(part, place, key)
    return record.model_dump_json()


def check_place(place: Path) -> None:
    """Refuse to write where something lies that no batch has made. Raises `InputError`."""
    if place.exists() and not (place / RECORD_FILE).is_file():
        raise InputError(f"{place}: is in the way, and is no result of a batch: give another folder with -o")


def put_in_place(part: Path, place: Path, key: str | None) -> None:
    """Move finished results to their place; older ones there are removed.

    Raises
    ------
    InputError
        If something else lies there.
    StorageError
        If the disk refuses.
    """
    check_place(place)
    shutil.rmtree(place, ignore_errors=True)
    try:
        move_durably(part, place)
    except StorageError:
        other = read_record(place)  # another worker may have been given the same item, and have finished first
        if other is None or other.key != key:
            raise
        shutil.rmtree(part, ignore_errors=True)


def _make(source: Path, folder: Path, options: BatchOptions, record: ItemRecord) -> ItemRecord:
    """Write the results of an item that reads."""
    run = run_or_none(source)
    if run is not None and run.manifest.encoding.kind == "spectrum":
        from knightshift.reconstruction.export.spectrum import save_spectrum
        from knightshift.reconstruction.spectrum import spectrum_of_run

        save_spectrum(spectrum_of_run(run), folder)
        return record.model_copy(update={"result": "spectrum"})
    if is_images(source):
        return _images(load_series(source), source, folder, options, record)
    if run is not None or detect(source) is RawKind.RUN:
        return _images(reconstruct(source, options.recipe), source, folder, options, record)
    raw = read_raw(source)
    if isinstance(raw, FidSeries):
        return treat_spectra(raw, folder, options, record)
    if isinstance(raw, KSpaceScan):
        return _scan(_timed(raw, source, options), folder, options, record)
    images = denoised(_timed(raw, source, options), options.recipe)
    return _images(images, source, folder, options, record)


def _timed(raw: TimedImages, source: Path, options: BatchOptions) -> TimedImages:
    """Fill in echo times that images do not say: those of the recipe, or the delays where there is one for each."""
    if options.recipe.echo_times is not None:
        return with_times_given(raw, options.recipe, source)
    delays, known = options.spectra.delays, bool(raw.echo_times.any()) or raw.inversion_times is not None
    if known or delays is None or len(delays) != len(raw.echo_times) or min(delays) <= 0:
        return raw
    return with_times_given(raw, Recipe(echo_times=delays), source)


def _scan(scan: KSpaceScan, folder: Path, options: BatchOptions, record: ItemRecord) -> ItemRecord:
    """Reconstruct the scan of a console, and fit it; what is larger than memory from its file."""
    with disk_storage(folder, options.memory) as storage:
        series = images_of_scan(scan, options.recipe, storage)
        if not isinstance(series.images, h5py.Dataset):
            return _images(series, scan.source, folder, options, record)
        save_images(series, folder, figures=False)
    return _volume(series, folder, options, record)


def _volume(series: ImageSeries, folder: Path, options: BatchOptions, record: ItemRecord) -> ItemRecord:
    """Fit images that are larger than memory, from their file."""
    from knightshift.reconstruction.export.volume_maps import MAPS_FILE, fit_volume_file, known_t2

    if len(series.echo_times) < 2 or series.inversion_times is not None:
        return record.model_copy(update={"result": "images"})
    try:
        volume = fit_volume_file(folder / FILE_NAME, folder, applicable(series, options), options.memory)
    except InputError as error:
        return record.model_copy(update={"result": "images", "note": str(error)})
    name, known = t2_name(series), known_t2(folder / MAPS_FILE, options.memory)
    return record.model_copy(update={"result": f"{name} map", "times": time_of_voxels(name, known, volume.n_voxels)})


def _images(series: ImageSeries, source: Path, folder: Path, options: BatchOptions, record: ItemRecord) -> ItemRecord:
    from knightshift.reconstruction.export.formats import write_volumes

    write_images_file(series if options.noise is None else series.with_noise(options.noise), folder / FILE_NAME)
    if series.inversion_times is not None:
        from knightshift.reconstruction.export.relaxation import write_t1_maps
        from knightshift.reconstruction.relaxometry.recovery import fit_inversion_series

        fit = fit_inversion_series(series)
        write_t1_maps(fit, series, folder)
        return record.model_copy(update={"result": "T1 map", "times": time_of_voxels("T1", fit.time[fit.ok])})
    note = None
    try:
        analysis = analyse_series(series, source, _for(series, options))
    except InputError as error:  # such as images without a phase: they are a result too, and the reason is told
        analysis, note = Analysis(source, series, None, None), str(error)
    write_volumes(analysis, folder)
    return record.model_copy(update={**_numbers(analysis), "note": note})


def _for(series: ImageSeries, options: BatchOptions) -> T2Request:
    """Take of the options what these images have a use for."""
    if len(series.echo_times) < 2:
        return T2Request(noise=options.noise)
    return applicable(series, options)


def _numbers(analysis: Analysis) -> dict[str, object]:
    fit = analysis.fit
    if fit is None:
        return {"result": "images"}
    name = t2_name(analysis.series)
    return {"result": f"{name} map", "times": time_of_voxels(name, fit.t2[fit.ok])}
