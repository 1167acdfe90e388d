"""The report that a reader can check: figures for a paper, one HTML page, and ``summary.json`` for machines."""

from knightshift.reconstruction.report.inputs import ComparedRun, RejectedPass, ReportInputs, RunFacts
from knightshift.reconstruction.report.region_summary import RegionSummary
from knightshift.reconstruction.report.report import REPORT_FILE, SUMMARY_FILE, write_report
from knightshift.reconstruction.report.spectrum_figure import FrequencyDrift
from knightshift.reconstruction.report.summary import Summary, summarise, write_summary

__all__ = [
    "REPORT_FILE",
    "SUMMARY_FILE",
    "ComparedRun",
    "FrequencyDrift",
    "RegionSummary",
    "RejectedPass",
    "ReportInputs",
    "RunFacts",
    "Summary",
    "summarise",
    "write_report",
    "write_summary",
]
