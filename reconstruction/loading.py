"""Images from whatever a path holds: a run, raw data of a console, or images that were reconstructed before."""

from __future__ import annotations

from pathlib import Path

from knightshift.core.errors import UnsupportedDataError
from knightshift.core.run_folder import MANIFEST, Run, open_run
from knightshift.reconstruction.export.images_file import FILE_NAME, load_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import reconstruct


def load_series(source: Path) -> ImageSeries:
    """Load images: of a run, of a raw scan of a console, or reconstructed before.

    Raises
    ------
    InputError, UnsupportedDataError, DamagedDataError
        As `reconstruct` and `load_images` say.
    """
    if is_images(source):
        return load_images(source)
    run = run_or_none(source)
    if run is not None and run.manifest.encoding.kind == "spectrum":
        raise UnsupportedDataError(f"{source}: is a spectrum, not images: `knightshift reconstruct` draws it")
    return reconstruct(source)


def is_images(source: Path) -> bool:
    """Whether a path is ``images.h5``, or a folder that holds it."""
    return source.name == FILE_NAME or (source / FILE_NAME).is_file()


def images_path(source: Path) -> Path | None:
    """``images.h5`` at a path, where `is_images` finds it."""
    if not is_images(source):
        return None
    return source / FILE_NAME if source.is_dir() else source


def run_or_none(source: Path) -> Run | None:
    """Open `source` if it is a run of ours. Raises `ConfigError` or `DamagedDataError` if it is a broken one."""
    return open_run(source) if (source / MANIFEST).is_file() else None
