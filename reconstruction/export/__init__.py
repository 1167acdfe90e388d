"""Images out: one HDF5 file that holds everything, NIfTI for other programs, figures for people."""

from knightshift.reconstruction.export.folder import save_images
from knightshift.reconstruction.export.images_file import load_images

__all__ = ["load_images", "save_images"]
