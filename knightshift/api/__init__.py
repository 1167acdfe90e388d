"""Runs and raw data as labelled arrays, for notebooks and scripts; reached as ``import knightshift as ks``."""

from knightshift.api.runs import RunData, open_run
from knightshift.api.scans import ScanData, open_scan

__all__ = ["RunData", "ScanData", "open_run", "open_scan"]
