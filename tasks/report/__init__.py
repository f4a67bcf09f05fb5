"""The report of work directories: tables, statistics and pictures, as a page and as Markdown."""

from tasks.report.errors import ReportError
from tasks.report.writing import Report, write_report

__all__ = ["Report", "ReportError", "write_report"]
