"""Leakage: people who stand in two folders, as in a training and a test set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.acquisition import Acquired, FaceRule, acquire
from mien.evaluation.figures import AcquisitionFacts, finite
from mien.evaluation.protocols import PeopleFolder
from mien.matching import cosine_scores
from mien.recognizer import Recognizer
from mien.types import FloatArray

__all__ = ["Likeness", "Overlap", "find_overlap"]

_PEOPLE_A_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Likeness:
    """A person of one folder who may be a person of the other.

    Attributes:
        a: name in the first folder.
        b: name in the second.
        score: of their mean templates.
        mutual: whether each is the other's nearest.
        image_a: the image of ``a`` that is most like one of ``b``.
        image_b: that image of ``b``.
        image_score: of these two images.
    """

    a: str
    b: str
    score: float
    mutual: bool
    image_a: str
    image_b: str
    image_score: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Who may stand in both folders.

    Attributes:
        a: the first folder.
        b: the second.
        space: the embedding space.
        threshold: the score of mean templates from which a pair is listed.
        found: the pairs, the most alike first.
        people: how many people of each folder had a template.
        acquisition: what became of the images of each.
    """

    a: str
    b: str
    space: str
    threshold: float
    found: tuple[Likeness, ...]
    people: tuple[int, int]
    acquisition: tuple[AcquisitionFacts, AcquisitionFacts]

    def to_json(self) -> dict[str, Any]:
        """All of it; ``found`` is a list of objects."""
        return {
            "a": self.a,
            "b": self.b,
            "space": self.space,
            "threshold": self.threshold,
            "people": list(self.people),
            "mutual": sum(likeness.mutual for likeness in self.found),
            "found": [
                {
                    "a": one.a,
                    "b": one.b,
                    "score": finite(one.score),
                    "mutual": one.mutual,
                    "image_a": one.image_a,
                    "image_b": one.image_b,
                    "image_score": finite(one.image_score),
                }
                for one in self.found
            ],
            "acquisition": [facts.to_json() for facts in self.acquisition],
        }


def find_overlap(
    recognizer: Recognizer,
    a: PeopleFolder,
    b: PeopleFolder,
    *,
    threshold: float | None = None,
    face: FaceRule = "central",
    keep: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Overlap:
    """Find people of one folder who look like people of another.

    Everybody's templates are averaged; people whose averages score at least the threshold are listed, and whether they
    are each other's nearest. It is a list to look through, not a verdict: twins and wrong labels are in it.

    Args:
        recognizer: makes the templates.
        a: a folder of people.
        b: another one.
        threshold: score from which two people are listed; None for ``recognizer.threshold``.
        face: which face of an image is the person's.
        keep: a file to keep what is done in, as for ``acquire``.
        progress: called with the number of images done since the last call.

    Raises:
        BadInput: no image of a folder has a face.
    """
    both = acquire(recognizer, [*a.samples, *b.samples], face=face, keep=keep, progress=progress)
    split = len(a.samples)
    means_a, people_a = _means(a, both, 0)
    means_b, people_b = _means(b, both, split)
    limit = recognizer.threshold if threshold is None else threshold
    best_of_b = np.full(len(means_b), -np.inf)
    best_of_a, nearest_b = np.full(len(means_a), -np.inf), np.zeros(len(means_b), np.int64)
    nearest_a = np.zeros(len(means_a), np.int64)
    listed: list[tuple[int, int, float]] = []
    for start in range(0, len(means_a), _PEOPLE_A_BLOCK):
        scores = cosine_scores(means_a[start : start + _PEOPLE_A_BLOCK], means_b)
        rows = slice(start, start + len(scores))
        nearest_a[rows], best_of_a[rows] = scores.argmax(axis=1), scores.max(axis=1)
        better = scores.max(axis=0) > best_of_b
        nearest_b[better] = start + scores.argmax(axis=0)[better]
        best_of_b = np.maximum(best_of_b, scores.max(axis=0))
        listed += [(start + int(i), int(j), float(scores[i, j])) for i, j in np.argwhere(scores >= limit)]
    found = []
    for i, j, score in listed:
        image_a, image_b, image_score = _closest(a, b, both, split, int(people_a[i]), int(people_b[j]))
        mutual = nearest_a[i] == j and nearest_b[j] == i
        names = a.names[people_a[i]], b.names[people_b[j]]
        found.append(Likeness(*names, score, bool(mutual), image_a, image_b, image_score))
    return Overlap(
        a=a.path,
        b=b.path,
        space=recognizer.space,
        threshold=limit,
        found=tuple(sorted(found, key=lambda one: (-one.score, not one.mutual, one.a, one.b))),
        people=(len(means_a), len(means_b)),
        acquisition=(
            AcquisitionFacts.of(both.part(slice(0, split))),
            AcquisitionFacts.of(both.part(slice(split, None))),
        ),
    )


def _means(people: PeopleFolder, both: Acquired, start: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """The unit mean of each person who has a template, and their numbers."""
    rows = slice(start, start + len(people.samples))
    vectors, there = both.vectors[rows], both.acquired[rows]
    sums = np.zeros((len(people.names), vectors.shape[1]))
    np.add.at(sums, people.identities[there], vectors[there])
    norms = np.linalg.norm(sums, axis=1)
    (numbers,) = np.nonzero(norms > 0)
    if not len(numbers):
        raise BadInput(f"{people.path}: expected faces, found none in {len(people.samples)} images")
    return (sums[numbers] / norms[numbers, None]).astype(np.float32), numbers


def _closest(
    a: PeopleFolder, b: PeopleFolder, both: Acquired, split: int, one: int, other: int
) -> tuple[str, str, float]:
    """The two most similar images of two people, and their score."""
    (mine,) = np.nonzero((a.identities == one) & both.acquired[:split])
    (theirs,) = np.nonzero((b.identities == other) & both.acquired[split:])
    scores = cosine_scores(both.vectors[mine], both.vectors[split + theirs])
    i, j = np.unravel_index(int(scores.argmax()), scores.shape)
    return a.samples[mine[i]].name, b.samples[theirs[j]].name, float(scores[i, j])
