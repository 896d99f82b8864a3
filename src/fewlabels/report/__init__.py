"""The HTML report of one run folder, or of several side by side."""

from .gather import Report, gather
from .pictures import error_figure, png, pseudo_labels_figure, spreading_figure
from .render import render, report_html

__all__ = [
    "Report",
    "error_figure",
    "gather",
    "png",
    "pseudo_labels_figure",
    "render",
    "report_html",
    "spreading_figure",
]
