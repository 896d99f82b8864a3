"""Run folders -> values -> one HTML page that people look at."""

from .gather import Report, gather
from .pictures import curves_figure, spreading_figure
from .render import render, report_html

__all__ = ["Report", "curves_figure", "gather", "render", "report_html", "spreading_figure"]
