"""Errors of parts of the trials at the threshold of the whole: by the quality of the two samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons
from mien.evaluation.discard import PARTIAL_AREAS, DiscardCurve
from mien.evaluation.figures import Figure, Slice
from mien.evaluation.uncertainty import Uncertainty

__all__ = ["QUALITY_PARTS", "discard_figures", "part_figures", "quality_cut_of", "quality_parts", "quality_slices"]

QUALITY_PARTS = ("high/high", "low/high", "low/low")
"""The parts by quality: both samples at or above the cut, one of them below it, both below it."""

_LOW_SHARE = 0.25


def quality_cut_of(quality: NDArray[np.float64]) -> float:
    """The unified quality below which a sample is low: the lower quartile of the samples that have one.

    Raises:
        BadInput: none has.
    """
    known = quality[~np.isnan(quality)]
    if not len(known):
        raise BadInput(f"expected samples with a quality, got none of {len(quality)}")
    return float(np.quantile(known, _LOW_SHARE))


def quality_parts(left: NDArray[np.float64], right: NDArray[np.float64], cut: float) -> NDArray[np.int64]:
    """``(n,)``: which of ``QUALITY_PARTS`` a pair of qualities belongs to, -1 where one is not known."""
    low = (left < cut).astype(np.int64) + (right < cut)
    return np.where(np.isnan(left) | np.isnan(right), -1, low)


def quality_slices(
    comparisons: Comparisons, quality: NDArray[np.float64], cut: float, threshold: float, uncertainty: Uncertainty
) -> tuple[Slice, ...]:
    """FMR and FNMR of the three parts by quality.

    Args:
        comparisons: the trials.
        quality: ``(m,)`` of each sample, NaN where it is not known.
        cut: samples below are low.
        threshold: matches are ``score >= threshold``.
        uncertainty: how intervals are made.
    """
    part = quality_parts(quality[comparisons.left], quality[comparisons.right], cut)
    return tuple(
        Slice("quality", name, tuple(part_figures(comparisons.subset(part == number), threshold, uncertainty)))
        for number, name in enumerate(QUALITY_PARTS)
    )


def part_figures(comparisons: Comparisons, threshold: float, uncertainty: Uncertainty) -> list[Figure]:
    """Counts, FMR and FNMR of a part of the trials; a rate without trials has no value."""
    made = comparisons.compared
    mated, non_mated = made.mated_scores, made.non_mated_scores
    false_match, false_non_match = uncertainty.at_threshold(made, threshold)
    words = "at the threshold of the whole"
    return [
        Figure("mated", len(mated), "Mated comparisons that were made.", "count"),
        Figure("non_mated", len(non_mated), "Non-mated comparisons that were made.", "count"),
        Figure(
            "fmr",
            float((non_mated >= threshold).mean()) if len(non_mated) else None,
            f"False match rate {words}.",
            interval=false_match,
            note="" if len(non_mated) else "no non-mated comparison in this part",
        ),
        Figure(
            "fnmr",
            float((mated < threshold).mean()) if len(mated) else None,
            f"False non-match rate {words}.",
            interval=false_non_match,
            note="" if len(mated) else "no mated comparison in this part",
        ),
    ]


def discard_figures(curve: DiscardCurve) -> list[Figure]:
    """How many errors go with the samples of lowest quality: partial areas, and the share of the ideal gain."""
    figures = []
    for limit in PARTIAL_AREAS:
        label = f"{100 * limit:g}"
        words = f"Area under FNMR over the share of mated comparisons discarded by quality, up to {label} %."
        figures.append(Figure(f"edc_area_{label}", curve.area(limit), words, "ratio"))
        words = "Share of the ideal gain in that area: 1 if each comparison discarded were an error, 0 if by chance."
        figures.append(Figure(f"edc_gain_{label}", curve.gain(limit), words, "ratio"))
    return figures
