"""Whole archives: every scan reconstructed and fitted, by processes of this machine or a cluster (extra ``batch``)."""

from knightshift.reconstruction.batch.records import BatchOptions, BatchReport, ItemRecord
from knightshift.reconstruction.batch.run_batch import run_batch

__all__ = ["BatchOptions", "BatchReport", "ItemRecord", "run_batch"]
