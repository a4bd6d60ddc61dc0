"""The comparisons and searches that went most wrong, to be looked at: a wrong label shows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.evaluation.protocols import Sample
from mien.evaluation.report.thumbnails import Thumbnails
from mien.evaluation.report.views import Couple, Face
from mien.evaluation.report.wording import shown
from mien.evaluation.results import OpenSetResults, PairResults

__all__ = ["Worst", "open_set_couples", "pair_couples"]

_COUNT = 12


@dataclass(frozen=True, slots=True)
class Worst:
    """Couples under a heading."""

    title: str
    about: str
    couples: tuple[Couple, ...]


def pair_couples(results: PairResults, *, faces: bool) -> list[Worst]:
    """The non-mated comparisons of highest score and the mated ones of lowest.

    Args:
        results: what was measured.
        faces: with images and names; without, samples go by number.
    """
    show = _Shown(results.protocol.samples, Thumbnails(results.protocol.samples, results.acquired) if faces else None)
    protocol, limit = results.protocol, results.threshold
    found = []
    for mated, title, about in (
        (False, "Worst false matches", "Different people, highest scores first"),
        (True, "Worst false non-matches", "One person, lowest scores first"),
    ):
        couples = tuple(
            Couple(
                (show.face(int(protocol.left[k])), show.face(int(protocol.right[k]))), score, (score >= limit) != mated
            )
            for k, score in results.worst(_COUNT, mated=mated)
        )
        found.append(
            Worst(title, f"{about}; errors are those at the operating threshold {shown(limit, 'score')}.", couples)
        )
    return found


def open_set_couples(results: OpenSetResults, *, faces: bool) -> list[Worst]:
    """The strangers found with the highest scores, and the mates that were missed by most.

    Args:
        results: what was measured.
        faces: with images and names; without, samples go by number.
    """
    show = _Shown(results.samples, Thumbnails(results.samples, results.acquired) if faces else None)
    limit = results.run.default_threshold
    alarms: dict[tuple[int, int], float] = {}
    misses: dict[tuple[int, int], tuple[float, int, int]] = {}
    for one in results.searches:
        for k in np.argsort(-np.nan_to_num(one.non_mated_scores, nan=-np.inf), kind="stable")[:_COUNT]:
            if one.candidates[k] >= 0:
                alarms[int(one.non_mated[k]), int(one.candidates[k])] = float(one.non_mated_scores[k])
        for k in np.argsort(np.nan_to_num(one.mated_scores, nan=np.inf), kind="stable")[:_COUNT]:
            if one.mates[k] >= 0:
                key = int(one.mated[k]), int(one.mates[k])
                misses[key] = (float(one.mated_scores[k]), int(one.mated_ranks[k]), int(one.tops[k]))
    strangers = tuple(
        Couple((show.face(probe, "probe"), show.face(other, "found")), score, score >= limit)
        for (probe, other), score in sorted(alarms.items(), key=lambda item: -item[1])[:_COUNT]
    )
    missed = []
    for (probe, mate), (score, rank, top) in sorted(misses.items(), key=lambda item: item[1][0])[:_COUNT]:
        parts = [show.face(probe, "probe"), show.face(mate, "mate")]
        if rank != 1 and top >= 0:
            parts.append(show.face(top, "found instead"))
        missed.append(Couple(tuple(parts), score, rank != 1 or score < limit, f"mate at rank {rank}"))
    at = f"errors are those at the model's own threshold {shown(limit, 'score')}"
    return [
        Worst("Worst false alarms", f"Strangers and who was found for them, highest scores first; {at}.", strangers),
        Worst("Worst misses", f"Probes and their enrolled mates, lowest scores first; {at}.", tuple(missed)),
    ]


class _Shown:
    """Samples as faces of the page."""

    def __init__(self, samples: tuple[Sample, ...], thumbnails: Thumbnails | None) -> None:
        self._samples, self._thumbnails = samples, thumbnails

    def face(self, number: int, part: str = "") -> Face:
        if self._thumbnails is None:
            return Face(f"sample {number}", None, part)
        return Face(self._samples[number].name, self._thumbnails.of(number), part)
