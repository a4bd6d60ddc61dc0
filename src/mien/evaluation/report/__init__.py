"""Evaluations as one HTML file each: figures, curves and the worst errors, to be read, printed and passed on.

A page needs no network and runs no code: its drawings and pictures stand in it, and its content security policy forbids
all else.

- ``page``: ``pair_report`` and ``open_set_report``; ``comparing``: ``comparison_report``; ``template.html.j2`` and
  ``style.css.j2`` are what they fill.
- ``views`` and ``wording``: figures as rows, in words; ``worst`` and ``thumbnails``: what went wrong, with faces.
- ``svg``: drawings that follow the page's colors; ``drawing``: lines, histograms, dots; ``curves``: their points;
  ``pair_plots``, ``reliability``, ``search_plots``: which are drawn.
"""

from __future__ import annotations

from mien.evaluation.report.comparing import comparison_report
from mien.evaluation.report.page import open_set_report, pair_report
from mien.evaluation.report.svg import require_packages

__all__ = ["comparison_report", "open_set_report", "pair_report", "require_packages"]
