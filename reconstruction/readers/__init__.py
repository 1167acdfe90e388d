"""Readers of raw data, chosen by what the files hold and never by their names."""

from knightshift.reconstruction.readers.detection import RawKind, detect, read_raw

__all__ = ["RawKind", "detect", "read_raw"]
