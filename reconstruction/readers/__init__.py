"""Readers of raw data, chosen by what the files hold and never by their names."""

from knightshift.reconstruction.readers.detection import RawData, RawKind, detect, read_raw
from knightshift.reconstruction.readers.inspection import Inspection, inspect_raw

__all__ = ["Inspection", "RawData", "RawKind", "detect", "inspect_raw", "read_raw"]
