"""The report: one self-contained page from the verification tables, the training curves and the forecast stores."""

from emberformer.report.page import write_report

__all__ = ["write_report"]
