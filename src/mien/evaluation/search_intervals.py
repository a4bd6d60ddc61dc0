"""Intervals of the error rates of searches: as other people searched for in the same gallery would change them."""

from __future__ import annotations

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import ScoreArray
from mien.evaluation.identification import OpenSetTrials
from mien.evaluation.intervals import Interval
from mien.evaluation.rate_intervals import OneKind, hits_at_rate

__all__ = ["fnir_interval", "fpir_interval", "rank_interval", "threshold_at_fpir_interval", "tpir_at_fpir_interval"]


def rank_interval(trials: OpenSetTrials, rank: int, level: float = 0.95) -> Interval:
    """The interval of the share of mated searches whose mate ranks within ``rank``; see ``clustered_interval``.

    Raises:
        BadInput: there are no mated searches, the rank is less than 1, or the level is out of range.
    """
    found = trials.cmc(rank)[-1]
    # Ordered from the worst on, so that among equal ranks the lower scores are the likelier misses.
    ranks = np.where(trials.mated_ranks == 0, trials.gallery_size + 1, trials.mated_ranks)
    places = np.empty(len(ranks))
    places[np.lexsort((trials.mated_scores, -ranks))] = np.arange(len(ranks))
    misses = round((1 - found) * len(ranks))
    return OneKind(places, trials.mated_identities, trials.mated_identities).above(misses, level)


def fnir_interval(trials: OpenSetTrials, threshold: float, rank: int | None = 1, level: float = 0.95) -> Interval:
    """The interval of FNIR at a fixed threshold; see ``clustered_interval``.

    Raises:
        BadInput: there are no mated searches, the rank is less than 1, or the level is out of range.
    """
    hits = _mated(trials, rank).above(threshold, level)
    return Interval(1 - hits.high, 1 - hits.low, level, hits.method)


def fpir_interval(trials: OpenSetTrials, threshold: float, level: float = 0.95) -> Interval:
    """The interval of FPIR at a fixed threshold; see ``clustered_interval``.

    Raises:
        BadInput: there are no non-mated searches, or the level is out of range.
    """
    return _non_mated(trials).above(threshold, level)


def threshold_at_fpir_interval(trials: OpenSetTrials, fpir: float, level: float = 0.95) -> Interval:
    """The interval of the threshold at a false positive identification rate; see ``OneKind.threshold``.

    Raises:
        BadInput: there are no non-mated searches, none was made, or the rate or the level is out of range.
    """
    return _non_mated(trials).threshold(fpir, level)


def tpir_at_fpir_interval(trials: OpenSetTrials, fpir: float, rank: int | None = 1, level: float = 0.95) -> Interval:
    """The interval of TPIR at the threshold of a false positive identification rate; see ``hits_at_rate``.

    Raises:
        BadInput: searches of a kind are missing or were not made, the rank is less than 1, or the rate or the level is
            out of range.
    """
    return hits_at_rate(_mated(trials, rank), _non_mated(trials), fpir, level)


def _mated(trials: OpenSetTrials, rank: int | None) -> OneKind:
    """The mated searches, those that cannot succeed within the rank below any threshold."""
    if rank is not None and rank < 1:
        raise BadInput(f"expected a rank of at least 1, got {rank}")
    within = trials.mated_ranks > 0
    if rank is not None:
        within = within & (trials.mated_ranks <= rank)
    people = trials.mated_identities
    return OneKind(np.where(within, trials.mated_scores, -np.inf), people, people)


def _non_mated(trials: OpenSetTrials) -> OneKind:
    people = trials.non_mated_identities
    scores: ScoreArray = np.where(np.isnan(trials.non_mated_scores), -np.inf, trials.non_mated_scores)
    return OneKind(scores, people, people)
