"""The drawings of 1:N evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import ScoreArray
from mien.evaluation.identification import OpenSetTrials
from mien.evaluation.report.curves import thinned
from mien.evaluation.report.drawing import Frame, Line, Mark, draw_histogram, draw_lines
from mien.evaluation.report.svg import Plot
from mien.evaluation.report.wording import percent, short_percent, shown
from mien.evaluation.searches import Searches

__all__ = ["open_set_plots"]

_MOST_RANKS = 20
_RATES_TOLD = (1e-1, 1e-2, 1e-3)


def open_set_plots(trials: OpenSetTrials, splits: Sequence[Searches], threshold: float) -> list[Plot]:
    """TPIR over FPIR, CMC, and the scores of searches.

    Args:
        trials: the searches of all splits together.
        splits: those of each split.
        threshold: the recognizer's own.
    """
    own = [
        OpenSetTrials(
            one.mated_scores,
            one.mated_ranks,
            one.non_mated_scores,
            np.zeros(len(one.mated), np.int64),
            np.zeros(len(one.non_mated), np.int64),
            max(one.enrolled, 1),
        )
        for one in splits
    ]
    parts = own if len(own) > 1 else []
    return [_tpir_plot(trials, parts, threshold), _cmc_plot(trials, parts), _score_plot(trials, threshold)]


def _tpir_plot(trials: OpenSetTrials, splits: Sequence[OpenSetTrials], threshold: float) -> Plot:
    lines = [Line("" if k else "each split", *_points(one), "steps", faint=True) for k, one in enumerate(splits)]
    lines.append(Line("all splits" if splits else "", *_points(trials), "steps"))
    searches = len(trials.non_mated_scores)
    told = [
        f"TPIR {percent(trials.tpir_at_fpir(rate))} at FPIR {short_percent(rate)}"
        for rate in _RATES_TOLD
        if rate * searches >= 1
    ]
    marks: tuple[Mark, ...] = ()
    if trials.fpir(threshold) > 0:
        at = 1 - trials.fnir(threshold, 1)
        marks = (Mark(f"model's threshold {shown(threshold, 'score')}", trials.fpir(threshold), at),)
    frame = Frame(
        "false positive identification rate",
        "true positive identification rate",
        x_log=True,
        x_limits=(0.7 / searches, 1.0),
        marks=marks,
    )
    return draw_lines(
        "tpir",
        "Open-set identification",
        frame,
        lines,
        description=f"{'; '.join(told)}." if told else "Too few non-mated searches to state a rate.",
        caption="Share of mated searches with the mate at rank 1 and above the threshold. Higher is better.",
    )


def _points(trials: OpenSetTrials) -> tuple[ScoreArray, ScoreArray]:
    try:
        fpir, fnir, _ = trials.curve(1)
    except BadInput:
        return np.empty(0), np.empty(0)
    fpir, tpir = fpir[::-1], 1 - fnir[::-1]
    last = np.concatenate([fpir[1:] != fpir[:-1], [True]])
    return thinned(fpir[last], tpir[last], log_x=True)


def _cmc_plot(trials: OpenSetTrials, splits: Sequence[OpenSetTrials]) -> Plot:
    most = min(_MOST_RANKS, trials.gallery_size)
    ranks = np.arange(1, most + 1, dtype=np.float64)
    lines = [Line("" if k else "each split", ranks, one.cmc(most), faint=True) for k, one in enumerate(splits)]
    curve = trials.cmc(most)
    lines.append(Line("all splits" if splits else "", ranks, curve, "points"))
    frame = Frame("rank", "share of mated searches", x_rate=False, x_whole=True)
    return draw_lines(
        "cmc",
        "Cumulative match characteristic (CMC)",
        frame,
        lines,
        description=f"{percent(float(curve[0]))} at rank 1, {percent(float(curve[-1]))} within rank {most}.",
        caption="Mate within that rank, at no threshold. The vertical axis does not start at 0.",
    )


def _score_plot(trials: OpenSetTrials, threshold: float) -> Plot:
    mated = trials.mated_scores[~np.isnan(trials.mated_scores)]
    non_mated = trials.non_mated_scores[~np.isnan(trials.non_mated_scores)]
    kinds = [("best of strangers' searches", non_mated), ("mate's score", mated)]
    told = ", ".join(f"{label} {float(np.median(found)):.3f}" for label, found in kinds if len(found))
    return draw_histogram(
        "scores",
        "Scores",
        [(label, found) for label, found in kinds if len(found)],
        (Mark("model's threshold", threshold),),
        description=f"Medians: {told}.",
        caption="Shares of the searches of each kind.",
    )
