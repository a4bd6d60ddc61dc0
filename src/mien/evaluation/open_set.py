"""1:N evaluations: some people of a folder enrolled, others kept out, all other images searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.acquisition import Acquired, FaceRule, acquire
from mien.evaluation.figures import AcquisitionFacts, Figure, RunFacts, Slice
from mien.evaluation.identification import OpenSetTrials
from mien.evaluation.intervals import Interval
from mien.evaluation.printed_thresholds import rounded_figure, rounded_threshold
from mien.evaluation.protocols import PeopleFolder
from mien.evaluation.results import OpenSetResults, SplitFigures
from mien.evaluation.search_intervals import (
    fnir_interval,
    fpir_interval,
    rank_interval,
    threshold_at_fpir_interval,
    tpir_at_fpir_interval,
)
from mien.evaluation.searches import Searches, draw_split, search_split
from mien.evaluation.slices import QUALITY_PARTS, quality_cut_of, quality_parts
from mien.evaluation.uncertainty import Draft, Uncertainty, rate_name, support_note
from mien.recognizer import Recognizer

__all__ = ["FALSE_POSITIVE_RATES", "evaluate_open_set"]

FALSE_POSITIVE_RATES = (1e-1, 1e-2, 1e-3)
"""The false positive identification rates at which true positive rates are told."""

_RANKS = (1, 5, 10)
_OPERATING_FPIR = 1e-2


def evaluate_open_set(
    recognizer: Recognizer,
    people: PeopleFolder,
    *,
    enrolled: int = 1,
    non_mated_share: float = 0.5,
    splits: int = 5,
    face: FaceRule = "central",
    quality: bool = False,
    keep: Path | None = None,
    progress: Callable[[int], None] | None = None,
    uncertainty: Uncertainty | None = None,
    quality_cut: float | None = None,
) -> OpenSetResults:
    """Evaluate open-set identification on a folder of people, over several random splits.

    In each split some people are kept out of the gallery; of each other one ``enrolled`` images are enrolled, and all
    other images are searched for. An image that is not acquired, and a person that could not be enrolled, count as
    misses; they raise no false alarm, but count as searches.

    Args:
        recognizer: what is measured.
        people: the folder; see ``read_people``.
        enrolled: images for each enrolled person.
        non_mated_share: the share of people kept out, between 0 and 1.
        splits: how many random splits; they are drawn by the seed of ``uncertainty``.
        face: which face of an image is the person's.
        quality: measure quality too, for parts by quality; see ``acquire``.
        keep: a file to keep what is done in; see ``acquire``.
        progress: called with the number of images done since the last call.
        uncertainty: how intervals are made; None for 1000 replicates, seed 0, level 0.95.
        quality_cut: unified quality below which a sample is low; None for the lower quartile.

    Raises:
        BadInput: the folder cannot be split so, or nothing of a gallery was acquired.
        MienError: as ``acquire``.
    """
    if splits < 1:
        raise BadInput(f"splits: expected at least 1, got {splits}")
    how = Uncertainty() if uncertainty is None else uncertainty
    draw = partial(draw_split, people, enrolled=enrolled, non_mated_share=non_mated_share, seed=how.seed)
    drawn = [draw(number=number) for number in range(splits)]
    acquired = acquire(recognizer, people.samples, face=face, quality=quality, keep=keep, progress=progress)
    searches = tuple(search_split(recognizer, people, acquired, split) for split in drawn)
    trials = _pooled(people, searches)
    default = recognizer.threshold
    cut = None
    slices: tuple[Slice, ...] = ()
    if acquired.has_quality:
        cut = quality_cut_of(acquired.quality) if quality_cut is None else quality_cut
        slices = _slices(trials, searches, acquired, cut, how)
    return OpenSetResults(
        path=people.path,
        people=people.names,
        samples=people.samples,
        identities=people.identities,
        run=RunFacts.of(recognizer, face, seed=how.seed, replicates=how.replicates, level=how.level),
        acquisition=AcquisitionFacts.of(acquired),
        acquired=acquired,
        enrolled=enrolled,
        non_mated_share=non_mated_share,
        searches=searches,
        trials=trials,
        figures=tuple(_figures(trials, searches, default, how)),
        splits=tuple(
            SplitFigures(number, tuple(draft.figure for draft in _drafts(_pooled(people, [one]), [one], default)))
            for number, one in enumerate(searches)
        ),
        slices=slices,
        quality_cut=cut,
    )


def _pooled(people: PeopleFolder, searches: Sequence[Searches]) -> OpenSetTrials:
    """The trials of several splits together."""
    return OpenSetTrials(
        mated_scores=np.concatenate([one.mated_scores for one in searches]),
        mated_ranks=np.concatenate([one.mated_ranks for one in searches]),
        non_mated_scores=np.concatenate([one.non_mated_scores for one in searches]),
        mated_identities=people.identities[np.concatenate([one.mated for one in searches])],
        non_mated_identities=people.identities[np.concatenate([one.non_mated for one in searches])],
        gallery_size=max(one.enrolled for one in searches),
    )


def _figures(trials: OpenSetTrials, searches: Sequence[Searches], default: float, how: Uncertainty) -> list[Figure]:
    figures = how.figures(trials, _drafts(trials, searches, default))
    return _counts(trials, searches, how) + [
        rounded_figure(figure, trials.mated_scores, trials.non_mated_scores) for figure in figures
    ]


def _counts(trials: OpenSetTrials, searches: Sequence[Searches], how: Uncertainty) -> list[Figure]:
    people, lost = sum(s.people for s in searches), sum(s.people - s.enrolled for s in searches)
    probes = np.unique(np.concatenate([np.concatenate([s.mated, s.non_mated]) for s in searches]))
    scores = [*((s.mated, s.tops) for s in searches), *((s.non_mated, s.candidates) for s in searches)]
    failed = np.unique(np.concatenate([probe[found < 0] for probe, found in scores]))
    return [
        Figure("enrolled", trials.gallery_size, "Identities in the gallery, the most of any split.", "count"),
        Figure("mated_searches", len(trials.mated_scores), "Searches for people to be enrolled, all splits.", "count"),
        Figure("non_mated_searches", len(trials.non_mated_scores), "Searches for others, all splits.", "count"),
        Figure(
            "fta",
            len(failed) / len(probes),
            "Failure to acquire: share of different probe images that gave no template.",
            interval=how.of_share(len(failed), len(probes)),
        ),
        Figure(
            "fte",
            lost / people,
            "Failure to enroll: share of people to be enrolled of whom no image gave a template.",
            interval=how.of_share(lost, people),
        ),
    ]


def _drafts(trials: OpenSetTrials, searches: Sequence[Searches], default: float) -> list[Draft]:
    """The rates, their intervals still to be made of ``OpenSetTrials``."""
    curve = trials.cmc(max(_RANKS))
    drafts = [
        _draft(
            f"rank_{rank}",
            float(curve[rank - 1]),
            f"Share of mated searches with the right person within rank {rank}, at no threshold.",
            partial(rank_interval, rank=rank),
        )
        for rank in _RANKS
        if rank <= trials.gallery_size
    ]
    probes = len(np.unique(np.concatenate([one.non_mated for one in searches])))
    for rate in FALSE_POSITIVE_RATES:
        label = rate_name(rate)
        found, note = support_note(rate, probes, "different non-mated probes")
        definition = f"True positive identification rate: mate at rank 1 and above the threshold of FPIR {label}."
        if found == "unsupported" and rate * probes < 1:
            drafts.append(Draft(Figure(f"tpir_at_fpir_{label}", None, definition, note=note)))
            continue
        value = trials.tpir_at_fpir(rate)
        drafts.append(
            _draft(f"tpir_at_fpir_{label}", value, definition, partial(tpir_at_fpir_interval, fpir=rate), note=note)
        )
        limit = trials.threshold_at_fpir(rate)
        words = f"Lowest threshold with FPIR at most {label} on these searches, rounded where that decides alike."
        figure = Figure(f"threshold_at_fpir_{label}", limit, words, "score", note=note)
        drafts.append(Draft(figure, partial(threshold_at_fpir_interval, fpir=rate)))
    drafts += [
        Draft(Figure("threshold_default", default, "The recognizer's own threshold.", "score")),
        _draft(
            "fpir_default",
            trials.fpir(default),
            "False positive identification rate at that threshold: non-mated searches with a candidate.",
            partial(fpir_interval, threshold=default),
        ),
        _draft(
            "fnir_default",
            trials.fnir(default, 1),
            "False negative identification rate at that threshold: mated searches without the mate at rank 1.",
            partial(fnir_interval, threshold=default),
        ),
    ]
    return drafts


def _draft(name: str, value: float, definition: str, interval: Callable[..., Interval], *, note: str = "") -> Draft:
    return Draft(Figure(name, value, definition, note=note), interval)


def _slices(
    trials: OpenSetTrials, searches: Sequence[Searches], acquired: Acquired, cut: float, how: Uncertainty
) -> tuple[Slice, ...]:
    """FNIR by the quality of probe and enrolled image, FPIR by that of the probe, at the threshold of FPIR 0.01."""
    threshold = rounded_threshold(
        trials.threshold_at_fpir(_OPERATING_FPIR), trials.mated_scores, trials.non_mated_scores
    )
    probes, mates = (np.concatenate([getattr(s, name) for s in searches]) for name in ("mated", "mates"))
    strangers = np.concatenate([s.non_mated for s in searches])
    mate_quality = np.where(mates >= 0, acquired.quality[mates], np.nan)
    part = quality_parts(acquired.quality[probes], mate_quality, cut)
    nobody = np.empty(0, np.int64)
    words = f"at the threshold of FPIR {rate_name(_OPERATING_FPIR)} of the whole"
    parts = []

    def figures(rows: NDArray[np.int64], of: OpenSetTrials, mated: bool) -> tuple[Figure, ...]:
        count = Figure("searches", len(rows), "Searches whose probe, and mate if any, were acquired.", "count")
        name, interval = ("fnir", fnir_interval) if mated else ("fpir", fpir_interval)
        definition = f"False {'negative' if mated else 'positive'} identification rate {words}."
        if not len(rows):
            return count, Figure(name, None, definition, note="no such search in this part")
        value = of.fnir(threshold, 1) if mated else of.fpir(threshold)
        return count, *how.figures(of, [Draft(Figure(name, value, definition), partial(interval, threshold=threshold))])

    for number, name in enumerate(QUALITY_PARTS):
        rows = np.flatnonzero(part == number)
        found = figures(rows, trials.resampled(rows, nobody), True)
        parts.append(Slice("quality of probe and mate", name, found))
    for name, rows in _high_and_low(acquired.quality[strangers], cut):
        found = figures(rows, trials.resampled(nobody, rows), False)
        parts.append(Slice("quality of probe", name, found))
    return tuple(parts)


def _high_and_low(quality: NDArray[np.float64], cut: float) -> list[tuple[str, NDArray[np.int64]]]:
    return [("high", np.flatnonzero(quality >= cut)), ("low", np.flatnonzero(quality < cut))]
