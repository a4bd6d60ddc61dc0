"""Open-set identification: error rates of searches in a gallery (ISO/IEC 19795-1, NIST FRTE 1:N)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.evaluation.comparisons import IntArray, ScoreArray, group_numbers
from mien.evaluation.intervals import Interval, checked_level
from mien.evaluation.rates import checked_rate
from mien.evaluation.resampling import Progress, Scale, checked_replicates, replicate_interval

__all__ = ["OpenSetTrials", "bootstrap_open_set"]


@dataclass(frozen=True, slots=True, eq=False)
class OpenSetTrials:
    """Searches of m mated probes, whose identity the gallery should hold, and k non-mated ones, whose it does not.

    A mated search that could not succeed (the probe was not acquired, or its identity was not enrolled) has score
    NaN and rank 0: it is a miss at any threshold. A non-mated search that was not made has score NaN: it raised no
    false alarm, and still counts as a search.

    Attributes:
        mated_scores: ``(m,) float64``, the score of the probe's own identity.
        mated_ranks: ``(m,) int64``, its rank among the gallery's identities, 1 the best, 0 if there is none.
        non_mated_scores: ``(k,) float64``, the score of the best candidate.
        mated_identities: ``(m,) int64``, whom each mated probe shows; any numbers.
        non_mated_identities: ``(k,) int64``, whom each non-mated probe shows.
        gallery_size: how many identities were enrolled, at least 1.

    Raises:
        BadInput: lengths do not fit, a score is infinite, a rank is out of range, or NaN and rank 0 do not agree.
    """

    mated_scores: ScoreArray
    mated_ranks: IntArray
    non_mated_scores: ScoreArray
    mated_identities: IntArray
    non_mated_identities: IntArray
    gallery_size: int

    def __post_init__(self) -> None:
        if self.gallery_size < 1:
            raise BadInput(f"OpenSetTrials.gallery_size: expected at least 1, got {self.gallery_size}")
        for name in ("mated_scores", "non_mated_scores"):
            scores = np.array(getattr(self, name), dtype=np.float64)
            if scores.ndim != 1 or np.isinf(scores).any():
                raise BadInput(f"OpenSetTrials.{name}: expected shape (n,) and no infinity, got {scores.shape}")
            object.__setattr__(self, name, scores)
        self._set_integers("mated_ranks", len(self.mated_scores), self.mated_ranks)
        self._set_integers("mated_identities", len(self.mated_scores), self.mated_identities)
        self._set_integers("non_mated_identities", len(self.non_mated_scores), self.non_mated_identities)
        ranks = self.mated_ranks
        if len(ranks) and not (ranks.min() >= 0 and ranks.max() <= self.gallery_size):
            raise BadInput(
                f"OpenSetTrials.mated_ranks: expected 0..{self.gallery_size}, got {ranks.min()}..{ranks.max()}"
            )
        if not np.array_equal(np.isnan(self.mated_scores), ranks == 0):
            raise BadInput("OpenSetTrials: expected rank 0 exactly where a mated probe has no score (NaN)")
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), np.ndarray):
                value.flags.writeable = False

    def _set_integers(self, name: str, length: int, value: ArrayLike) -> None:
        array = np.array(value)
        if array.shape != (length,) or (length and array.dtype.kind not in "iu"):
            raise BadInput(
                f"OpenSetTrials.{name}: expected {length} whole numbers, got {array.dtype} of shape {array.shape}"
            )
        object.__setattr__(self, name, array.astype(np.int64))

    @classmethod
    def from_scores(
        cls, scores: ArrayLike, probe_identities: ArrayLike, gallery_identities: ArrayLike
    ) -> OpenSetTrials:
        """The trials of a whole score matrix.

        The mate's rank is one more than the number of identities that score higher than it does or, as a search
        cannot tell them apart, just as high and come first in the gallery.

        Args:
            scores: ``(p, n)``, each probe against each enrolled identity; a row of NaN where the probe was not
                acquired, a column of NaN where the identity could not be enrolled.
            probe_identities: ``(p,)`` whom each probe shows.
            gallery_identities: ``(n,)`` distinct; a probe is mated where its identity is one of these.

        Raises:
            BadInput: shapes do not fit, or an identity is in the gallery twice.
        """
        matrix = np.asarray(scores, dtype=np.float64)
        probes, gallery = np.asarray(probe_identities), np.asarray(gallery_identities)
        if matrix.ndim != 2 or probes.shape != matrix.shape[:1] or gallery.shape != matrix.shape[1:]:
            raise BadInput(
                f"expected scores (p, n), p probes, n enrolled, got {matrix.shape}, {probes.shape}, {gallery.shape}"
            )
        if len(np.unique(gallery)) != len(gallery) or not len(gallery):
            raise BadInput("expected a gallery of distinct identities, at least one")
        order = np.argsort(gallery, kind="stable")
        place = np.minimum(np.searchsorted(gallery, probes, sorter=order), len(gallery) - 1)
        column = order[place]
        mated = gallery[column] == probes
        rows, columns = np.flatnonzero(mated), column[mated]
        own = matrix[rows, columns]
        # NaN compares false, so what was not enrolled stands above nobody.
        higher = (matrix[rows] > own[:, None]).sum(axis=1)
        as_high = ((matrix[rows] == own[:, None]) & (np.arange(len(gallery)) < columns[:, None])).sum(axis=1)
        searched = np.where(np.isnan(matrix), -np.inf, matrix)[~mated]
        best = searched.max(axis=1)
        return cls(
            mated_scores=own,
            mated_ranks=np.where(np.isnan(own), 0, 1 + higher + as_high),
            non_mated_scores=np.where(np.isneginf(best), np.nan, best),
            mated_identities=group_numbers(probes[mated]),
            non_mated_identities=group_numbers(probes[~mated]),
            gallery_size=len(gallery),
        )

    def fnir(self, threshold: float | None, rank: int | None = None) -> float:
        """False negative identification rate: mated searches whose mate is below the threshold or beyond the rank.

        Args:
            threshold: the lowest score that is a candidate, or None for no threshold (closed-set).
            rank: how many candidates are looked at, or None for all.

        Raises:
            BadInput: there are no mated searches, or the rank is less than 1.
        """
        self._require("mated", self.mated_scores)
        hit = self.mated_ranks > 0
        if threshold is not None:
            hit = hit & (self.mated_scores >= threshold)
        if rank is not None:
            if rank < 1:
                raise BadInput(f"expected a rank of at least 1, got {rank}")
            hit = hit & (self.mated_ranks <= rank)
        return float(1 - hit.mean())

    def fpir(self, threshold: float) -> float:
        """False positive identification rate: non-mated searches with any candidate at or above the threshold.

        Raises:
            BadInput: there are no non-mated searches.
        """
        self._require("non-mated", self.non_mated_scores)
        return float((self.non_mated_scores >= threshold).mean())

    def threshold_at_fpir(self, rate: float) -> float:
        """The lowest threshold whose FPIR is no more than ``rate``: the float64 above the best score that is too much.

        Where all searches may raise an alarm, it is the lowest score there is.

        Raises:
            BadInput: there are no non-mated searches, none of them was made, or the rate is not within 0..1.
        """
        checked_rate(rate)
        self._require("non-mated", self.non_mated_scores)
        ordered = np.sort(self.non_mated_scores[~np.isnan(self.non_mated_scores)])
        if not len(ordered):
            raise BadInput(f"expected a non-mated search that was made, got none of {len(self.non_mated_scores)}")
        from_here = np.arange(len(ordered), 0, -1) / len(self.non_mated_scores)
        over = int(np.searchsorted(-from_here, -rate, side="left"))
        if over == 0:
            every = np.concatenate([ordered, self.mated_scores])
            return float(np.nanmin(every))
        return float(np.nextafter(ordered[over - 1], np.inf))

    def tpir_at_fpir(self, rate: float, rank: int | None = 1) -> float:
        """True positive identification rate, 1 - FNIR, at the lowest threshold whose FPIR is no more than ``rate``."""
        return 1 - self.fnir(self.threshold_at_fpir(rate), rank)

    def cmc(self, most: int) -> ScoreArray:
        """Cumulative match characteristic: ``(most,)``, the share of mated searches with the mate within each rank.

        No threshold is applied; failures are misses, so the curve need not reach 1.

        Raises:
            BadInput: there are no mated searches, or ``most`` is less than 1.
        """
        self._require("mated", self.mated_scores)
        if most < 1:
            raise BadInput(f"expected at least rank 1, got {most}")
        counts = np.bincount(np.minimum(self.mated_ranks, most + 1), minlength=most + 2)
        return np.asarray(np.cumsum(counts[1 : most + 1]) / len(self.mated_ranks), dtype=np.float64)

    def curve(self, rank: int | None = 1) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
        """Every operating point: ``(fpir, fnir, thresholds)``, thresholds ascending: all scores, and one above them.

        Raises:
            BadInput: mated or non-mated searches are missing, or none of all was made.
        """
        self._require("mated", self.mated_scores)
        self._require("non-mated", self.non_mated_scores)
        found = self.mated_ranks > 0
        own = self.mated_scores[found if rank is None else found & (self.mated_ranks <= rank)]
        alarms = self.non_mated_scores[~np.isnan(self.non_mated_scores)]
        scores = np.unique(np.concatenate([own, alarms]))
        if not len(scores):
            raise BadInput("expected a search that was made, got none")
        thresholds = np.append(scores, np.nextafter(scores[-1], np.inf))
        own, alarms = np.sort(own), np.sort(alarms)
        fpir = (len(alarms) - np.searchsorted(alarms, thresholds)) / len(self.non_mated_scores)
        fnir = 1 - (len(own) - np.searchsorted(own, thresholds)) / len(self.mated_scores)
        return fpir, fnir, thresholds

    def resampled(self, mated: IntArray, non_mated: IntArray) -> OpenSetTrials:
        """The searches of these row numbers, a row as often as it is named."""
        return OpenSetTrials(
            self.mated_scores[mated],
            self.mated_ranks[mated],
            self.non_mated_scores[non_mated],
            self.mated_identities[mated],
            self.non_mated_identities[non_mated],
            self.gallery_size,
        )

    def _require(self, kind: str, scores: ScoreArray) -> None:
        if not len(scores):
            raise BadInput(f"expected {kind} searches, got none")


def bootstrap_open_set(
    trials: OpenSetTrials,
    statistic: Callable[[OpenSetTrials], float],
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    scale: Scale = "rate",
    progress: Progress | None = None,
) -> Interval:
    """The confidence interval of a statistic of searches, the probes' identities resampled and the gallery kept.

    It says how the statistic would vary with other people searched for in this very gallery; that other people
    enrolled would change it too shows in several random splits.

    Args:
        trials: the searches.
        statistic: what to compute, such as ``lambda trials: trials.tpir_at_fpir(0.01)``.
        replicates: how many times identities are drawn, mated and non-mated ones apart.
        seed: of the random numbers.
        level: confidence level, between 0 and 1.
        scale: ``"rate"`` for a statistic within 0..1, ``"real"`` for any other.
        progress: told after each replicate.

    Raises:
        BadInput: the statistic cannot be computed of these trials, or a rate is outside 0..1.
    """
    checked_level(level)
    checked_replicates(replicates)
    point = float(statistic(trials))
    random = np.random.default_rng(seed)
    people = [group_numbers(trials.mated_identities), group_numbers(trials.non_mated_identities)]
    sizes = [int(numbers.max()) + 1 if len(numbers) else 0 for numbers in people]
    values = np.empty(replicates)
    for k in range(replicates):
        rows = []
        for numbers, size in zip(people, sizes, strict=True):
            times = np.bincount(random.integers(0, size, size), minlength=size) if size else np.empty(0, np.int64)
            rows.append(np.repeat(np.arange(len(numbers)), times[numbers]))
        values[k] = statistic(trials.resampled(rows[0], rows[1]))
        if progress is not None:
            progress(k + 1, replicates)
    # No comparison joins two probes, so nothing is drawn twice and nothing is to be taken off.
    return replicate_interval(point, values, np.full(2, point), level, scale, min(s for s in sizes if s))
