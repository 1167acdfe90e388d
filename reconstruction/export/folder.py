"""Everything that a reconstruction leaves in its output folder."""

from __future__ import annotations

from pathlib import Path

from knightshift.core.durable import make_folder
from knightshift.reconstruction.export.images_file import FILE_NAME, write_images_file
from knightshift.reconstruction.images import ImageSeries


def save_images(series: ImageSeries, folder: str | Path, *, figures: bool = True) -> tuple[Path, ...]:
    """Write ``images.h5``, ``images.nii.gz`` with its JSON side-car, and a figure of each echo.

    Parameters
    ----------
    series
        The images.
    folder
        Output folder, made if need be; files of the same names are replaced.
    figures
        Whether to draw the figures too.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    from knightshift.reconstruction.export.nifti import write_nifti

    folder = Path(folder)
    make_folder(folder)
    written = (folder / FILE_NAME, *write_nifti(series, folder))
    if figures:
        from knightshift.reconstruction.export.figures import write_echo_figures

        written += write_echo_figures(series, folder)
    write_images_file(series, folder / FILE_NAME)  # last: images larger than memory are in that file already
    return written
