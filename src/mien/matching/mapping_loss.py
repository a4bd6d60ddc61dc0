"""What a map between embedding spaces costs: true match rates at a stated false match rate, before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["MapLoss", "MatchRate", "match_rate"]

_BLOCK_SCORES = 1 << 22

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MatchRate:
    """The share of mated pairs that match where a stated share of the non-mated pairs does.

    Attributes:
        tmr: true match rate, 0..1: mated pairs at or above the threshold.
        threshold: the lowest score at which the false match rate is kept.
        mated: how many pairs of one person were scored.
        non_mated: how many pairs of two people.
    """

    tmr: float
    threshold: float
    mated: int
    non_mated: int


@dataclass(frozen=True, slots=True)
class MapLoss:
    """How well faces are told apart before and after a map, on people that it was not fitted on.

    Attributes:
        fmr: the false match rate of all four.
        people: how many people were held out.
        templates: how many templates of each space they have.
        old: old templates against old ones, which is what the gallery could do so far.
        new: new templates against new ones, which enrolling the photos anew would give.
        mapped_new: mapped templates against new ones: new probes, or a gallery that was mapped.
        mapped: mapped templates against mapped ones.
    """

    fmr: float
    people: int
    templates: int
    old: MatchRate
    new: MatchRate
    mapped_new: MatchRate
    mapped: MatchRate


def match_rate(a: FloatArray, b: FloatArray, people: IntArray, fmr: float) -> MatchRate:
    """The true match rate at a false match rate, over all pairs of a row of ``a`` and a row of ``b``.

    Row i of both is of the same image, so that pair is left out. Where ``a is b``, each pair counts once. Scores
    are made in blocks; beside those of the mated pairs, no more are kept than the false match rate admits.

    Args:
        a: ``(n, d)`` of unit norm.
        b: ``(n, d)`` of unit norm.
        people: ``(n,)``, who each row shows.
        fmr: the largest false match rate, 0..1.

    Raises:
        BadInput: there are no mated pairs, or so few non-mated ones that the rate means less than one of them.
    """
    _, counts = np.unique(people, return_counts=True)
    ordered_mated = int((counts * (counts - 1)).sum())
    ordered_all = len(a) * (len(a) - 1)
    half = 2 if a is b else 1
    mated, non_mated = ordered_mated // half, (ordered_all - ordered_mated) // half
    allowed = math.floor(fmr * non_mated)
    if mated == 0 or allowed < 1:
        raise BadInput(
            f"to measure at a false match rate of {fmr:g}, expected mated pairs and at least {math.ceil(1 / fmr)} "
            f"non-mated pairs of held-out faces, got {mated} and {non_mated}; take more people, with more images each"
        )
    highest = np.empty(0, np.float32)
    matches: list[FloatArray] = []
    step = max(1, _BLOCK_SCORES // len(a))
    columns = np.arange(len(b))
    for start in range(0, len(a), step):
        rows = np.arange(start, min(start + step, len(a)))[:, None]
        scores = a[rows[:, 0]] @ b.T
        counted = columns > rows if a is b else columns != rows
        same = people[rows] == people
        matches.append(scores[counted & same])
        highest = np.concatenate([highest, scores[counted & ~same]])
        if len(highest) > allowed + 1:
            highest = np.partition(highest, len(highest) - allowed - 1)[-allowed - 1 :]
    # One more than allowed is kept: its score is the highest that may not match any longer.
    threshold = np.nextafter(highest.min(), np.float32(2)) if len(highest) > allowed else highest.min()
    found = np.concatenate(matches)
    return MatchRate(float((found >= threshold).mean()), float(threshold), mated, non_mated)
