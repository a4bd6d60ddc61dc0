"""What an evaluation gives back: every number with its meaning, and the trials it was computed from.

``to_json`` has a stable layout, which ``docs/evaluation.md`` describes; ``mien.evaluation.stored_runs`` reads it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadInput
from mien.evaluation.acquisition import Acquired
from mien.evaluation.comparisons import Comparisons, ScoreArray
from mien.evaluation.differential import Differentials
from mien.evaluation.discard import DiscardCurve
from mien.evaluation.figures import AcquisitionFacts, Figure, RunFacts, Slice
from mien.evaluation.folds import FoldAccuracy
from mien.evaluation.group_figures import groups_json
from mien.evaluation.identification import OpenSetTrials
from mien.evaluation.protocols import PairProtocol, Sample
from mien.evaluation.searches import Searches

__all__ = ["FORMAT", "OpenSetResults", "PairResults", "SplitFigures"]

FORMAT = "mien-evaluation-1"
"""Names the layout of ``to_json``; another number means that fields have changed their meaning."""


@dataclass(frozen=True, slots=True, eq=False)
class PairResults:
    """A 1:1 evaluation.

    Attributes:
        protocol: what was compared; ``protocol.samples`` has the images for thumbnails.
        run: with what, where and when.
        acquisition: what became of the images.
        acquired: the templates, boxes and qualities, by sample number; never written to a file.
        comparisons: the trials with their scores.
        threshold: the operating threshold, at which slices and groups are compared.
        figures: the numbers of the whole.
        folds: accuracy by fold, or None where the protocol has no folds.
        slices: the errors of parts of the trials.
        quality_cut: the unified quality below which a sample is low, or None without quality.
        discard: the errors that go with the samples of lowest quality, or None without quality.
        differentials: the errors of groups, or None where the protocol has no groups.
    """

    protocol: PairProtocol
    run: RunFacts
    acquisition: AcquisitionFacts
    acquired: Acquired
    comparisons: Comparisons
    threshold: float
    figures: tuple[Figure, ...]
    folds: FoldAccuracy | None = None
    slices: tuple[Slice, ...] = ()
    quality_cut: float | None = None
    discard: DiscardCurve | None = None
    differentials: Differentials | None = None

    @property
    def name(self) -> str:
        """The protocol's name and the embedding space."""
        return f"{self.protocol.name} {self.run.space}"

    def figure(self, name: str) -> Figure:
        """The figure of that name.

        Raises:
            BadInput: there is none.
        """
        return _named(self.figures, name)

    def worst(self, count: int, *, mated: bool) -> list[tuple[int, float]]:
        """The comparisons that are most wrong, as row and score: lowest of the mated, highest of the non-mated."""
        rows = np.flatnonzero((self.comparisons.mated == mated) & ~np.isnan(self.comparisons.scores))
        scores = self.comparisons.scores[rows]
        order = np.argsort(scores if mated else -scores, kind="stable")[:count]
        return [(int(rows[k]), float(scores[k])) for k in order]

    def to_json(self, *, trials: bool = True) -> dict[str, Any]:
        """The results as JSON values.

        Args:
            trials: with the samples' names and the scores of all comparisons, which comparing two runs needs.
        """
        protocol = self.protocol
        found: dict[str, Any] = {
            "format": FORMAT,
            "kind": "pairs",
            "protocol": {
                "name": protocol.name,
                "path": protocol.path,
                "digest": protocol.digest,
                "samples": len(protocol.samples),
                "pairs": len(protocol),
                "mated": int(protocol.mated.sum()),
                "identities": len(np.unique(protocol.identities)),
                "identity_source": protocol.identity_source,
                "groups": list(protocol.group_names),
                "missing": list(protocol.missing),
                "left_out": protocol.left_out,
                "notes": list(protocol.notes),
            },
            "run": self.run.to_json(),
            "acquisition": self.acquisition.to_json(),
            "threshold": self.threshold,
            "figures": [figure.to_json() for figure in self.figures],
            "folds": _folds(self.folds),
            "slices": [part.to_json() for part in self.slices],
            "quality_cut": self.quality_cut,
            "discard": _discard(self.discard),
            "groups": None if self.differentials is None else groups_json(self.differentials),
        }
        if trials:
            found["trials"] = _trials(protocol.samples, protocol, self.comparisons)
        return found


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """The numbers of one random split of an open-set evaluation."""

    number: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OpenSetResults:
    """A 1:N evaluation over several random splits.

    Attributes:
        path: the folder of people.
        people: their names, by number.
        samples: the images.
        identities: ``(m,) int64``, whom each image shows.
        run: with what, where and when.
        acquisition: what became of the images.
        acquired: the templates, boxes and qualities, by sample number; never written to a file.
        enrolled: images to be enrolled for each person.
        non_mated_share: the share of people kept out of the gallery.
        searches: what the searches of each split gave.
        trials: those of all splits together.
        figures: the numbers of all splits together.
        splits: the numbers of each split.
        slices: the errors of parts of the searches.
        quality_cut: the unified quality below which a sample is low, or None without quality.
    """

    path: str
    people: tuple[str, ...]
    samples: tuple[Sample, ...]
    identities: np.ndarray[Any, np.dtype[np.int64]]
    run: RunFacts
    acquisition: AcquisitionFacts
    acquired: Acquired
    enrolled: int
    non_mated_share: float
    searches: tuple[Searches, ...]
    trials: OpenSetTrials
    figures: tuple[Figure, ...]
    splits: tuple[SplitFigures, ...]
    slices: tuple[Slice, ...] = ()
    quality_cut: float | None = None

    @property
    def name(self) -> str:
        """The folder's name and the embedding space."""
        return f"{Path(self.path).name} {self.run.space}"

    def figure(self, name: str) -> Figure:
        """The figure of that name.

        Raises:
            BadInput: there is none.
        """
        return _named(self.figures, name)

    def to_json(self) -> dict[str, Any]:
        """The results as JSON values."""
        return {
            "format": FORMAT,
            "kind": "open-set",
            "protocol": {
                "name": Path(self.path).name,
                "path": self.path,
                "people": len(self.people),
                "samples": len(self.samples),
                "enrolled": self.enrolled,
                "non_mated_share": self.non_mated_share,
                "splits": len(self.splits),
            },
            "run": self.run.to_json(),
            "acquisition": self.acquisition.to_json(),
            "figures": [figure.to_json() for figure in self.figures],
            "splits": [{"number": s.number, "figures": [f.to_json() for f in s.figures]} for s in self.splits],
            "slices": [part.to_json() for part in self.slices],
            "quality_cut": self.quality_cut,
        }


def _trials(samples: Sequence[Sample], protocol: PairProtocol, comparisons: Comparisons) -> dict[str, Any]:
    return {
        "samples": [sample.name for sample in samples],
        "identities": protocol.identities.tolist(),
        "left": comparisons.left.tolist(),
        "right": comparisons.right.tolist(),
        "mated": comparisons.mated.tolist(),
        "folds": None if comparisons.folds is None else comparisons.folds.tolist(),
        "scores": _scores(comparisons.scores),
    }


def _scores(scores: ScoreArray) -> list[float | None]:
    return [None if math.isnan(score) else score for score in scores.tolist()]


def _folds(folds: FoldAccuracy | None) -> list[dict[str, Any]] | None:
    if folds is None:
        return None
    rows = zip(
        folds.folds.tolist(), folds.trials.tolist(), folds.accuracies.tolist(), folds.thresholds.tolist(), strict=True
    )
    return [{"fold": f, "pairs": n, "accuracy": a, "threshold": t} for f, n, a, t in rows]


def _discard(curve: DiscardCurve | None) -> dict[str, Any] | None:
    """The curve as steps: from each share discarded on, FNMR of the rest."""
    if curve is None:
        return None
    return {
        "threshold": curve.threshold,
        "fractions": curve.fractions.tolist(),
        "fnmr": curve.errors.tolist(),
        "qualities": curve.qualities.tolist(),
    }


def _named(figures: Sequence[Figure], name: str) -> Figure:
    for figure in figures:
        if figure.name == name:
            return figure
    raise BadInput(f"expected one of {', '.join(figure.name for figure in figures)}, got {name!r}")
