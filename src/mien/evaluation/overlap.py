"""Leakage: people who stand in two folders, as in a training and a test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

_IMAGES_A_BLOCK = 4096
_LEAST_NORM = 1e-6


@dataclass(frozen=True, slots=True)
class Likeness:
    """A person of one folder who may be a person of the other.

    Attributes:
        a: name in the first folder.
        b: name in the second.
        score: of their mean templates.
        mutual: whether each is the other's nearest by mean templates.
        mutual_images: whether each is the other's nearest by the two most similar images.
        image_a: the image of ``a`` that is most like one of ``b``.
        image_b: that image of ``b``.
        image_score: of these two images.
    """

    a: str
    b: str
    score: float
    mutual: bool
    mutual_images: bool
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
        threshold: the score from which a pair is listed: that of mean templates; or that of the two most similar
            images, if each is the other's nearest by these.
        found: the pairs, those of the most similar images first.
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
            "mutual": sum(one.mutual or one.mutual_images for one in self.found),
            "found": [
                {
                    "a": one.a,
                    "b": one.b,
                    "score": finite(one.score),
                    "mutual": one.mutual,
                    "mutual_images": one.mutual_images,
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
    are each other's nearest. A folder in which others stand too has an average that is nobody's, so people whose two
    most similar images score as much are listed as well if each is the other's nearest by these. It is a list to look
    through, not a verdict: twins and wrong labels are in it.

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
    one, other = _Side.of(a, both, 0), _Side.of(b, both, split)
    limit = recognizer.threshold if threshold is None else threshold
    by_mean, by_image = _Nearest(one.people, other.people), _Nearest(one.people, other.people)
    listed: dict[tuple[int, int], float] = {}
    for mine in one.blocks():
        for theirs in other.blocks():
            scores = cosine_scores(one.means[mine], other.means[theirs])
            by_mean.see(scores, mine.start, theirs.start)
            by_image.see(_most_similar(one, other, mine, theirs), mine.start, theirs.start)
            for i, j in np.argwhere(scores >= limit).tolist():
                listed[mine.start + i, theirs.start + j] = float(scores[i, j])
    for i, j in by_image.mutual(limit):
        if (i, j) not in listed:
            listed[i, j] = float(cosine_scores(one.means[[i]], other.means[[j]])[0, 0])
    mutual, mutual_images = set(by_mean.mutual(-np.inf)), set(by_image.mutual(-np.inf))
    found = []
    for (i, j), score in listed.items():
        image_a, image_b, image_score = _closest(one, other, i, j)
        found.append(
            Likeness(
                a=a.names[one.numbers[i]],
                b=b.names[other.numbers[j]],
                score=score,
                mutual=(i, j) in mutual,
                mutual_images=(i, j) in mutual_images,
                image_a=a.samples[image_a].name,
                image_b=b.samples[image_b].name,
                image_score=image_score,
            )
        )
    return Overlap(
        a=a.path,
        b=b.path,
        space=recognizer.space,
        threshold=limit,
        found=tuple(sorted(found, key=lambda like: (-like.image_score, -like.score, like.a, like.b))),
        people=(one.people, other.people),
        acquisition=(
            AcquisitionFacts.of(both.part(slice(0, split))),
            AcquisitionFacts.of(both.part(slice(split, None))),
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The people of one folder who have a template, and their images in the people's order.

    Attributes:
        numbers: ``(p,)``, which of the folder's people they are.
        means: ``(p, d)``, their unit mean templates.
        vectors: ``(n, d)``, the templates of their images.
        samples: ``(n,)``, which of the folder's samples these are.
        starts: ``(p + 1,)``, where each person's images begin, and the end.
    """

    numbers: NDArray[np.int64]
    means: FloatArray
    vectors: FloatArray
    samples: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, folder: PeopleFolder, both: Acquired, start: int) -> _Side:
        rows = slice(start, start + len(folder.samples))
        there = np.flatnonzero(both.acquired[rows])
        there = there[np.argsort(folder.identities[there], kind="stable")]
        numbers, starts = np.unique(folder.identities[there], return_index=True)
        if not len(numbers):
            raise BadInput(f"{folder.path}: expected faces, found none in {len(folder.samples)} images")
        vectors = both.vectors[rows][there]
        sums = np.add.reduceat(vectors.astype(np.float64), starts, axis=0)
        means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), _LEAST_NORM)
        return cls(numbers, means.astype(np.float32), vectors, there, np.append(starts, len(there)))

    @property
    def people(self) -> int:
        return len(self.numbers)

    def blocks(self) -> Iterator[slice]:
        """People in order, of not many more images together than a block should have."""
        start = 0
        while start < self.people:
            most = int(np.searchsorted(self.starts, self.starts[start] + _IMAGES_A_BLOCK, side="right")) - 1
            stop = max(start + 1, most)
            yield slice(start, stop)
            start = stop

    def images(self, people: slice) -> slice:
        """The rows of some people's images."""
        return slice(int(self.starts[people.start]), int(self.starts[people.stop]))


class _Nearest:
    """Who is nearest to whom, either way, of scores seen block by block; of equals the first."""

    def __init__(self, rows: int, columns: int) -> None:
        self._best = [np.full(rows, -np.inf), np.full(columns, -np.inf)]
        self._nearest = [np.zeros(rows, np.int64), np.zeros(columns, np.int64)]

    def see(self, scores: FloatArray, row: int, column: int) -> None:
        """Take in the scores of a block that begins at a row and a column."""
        for axis, own, others, block in ((0, row, column, scores), (1, column, row, scores.T)):
            here = slice(own, own + len(block))
            best, where = block.max(axis=1), block.argmax(axis=1)
            better = best > self._best[axis][here]
            self._best[axis][here][better] = best[better]
            self._nearest[axis][here][better] = others + where[better]

    def mutual(self, least: float) -> list[tuple[int, int]]:
        """The row and the column of those that are each other's nearest, with a score of at least so much."""
        rows = np.arange(len(self._nearest[0]))
        chosen = (self._nearest[1][self._nearest[0]] == rows) & (self._best[0] >= least)
        return [(int(i), int(self._nearest[0][i])) for i in rows[chosen]]


def _most_similar(a: _Side, b: _Side, mine: slice, theirs: slice) -> FloatArray:
    """The score of the two most similar images of every two people of a block."""
    scores = cosine_scores(a.vectors[a.images(mine)], b.vectors[b.images(theirs)])
    by_person = np.maximum.reduceat(scores, a.starts[mine] - a.starts[mine.start], axis=0)
    return np.asarray(np.maximum.reduceat(by_person, b.starts[theirs] - b.starts[theirs.start], axis=1))


def _closest(a: _Side, b: _Side, i: int, j: int) -> tuple[int, int, float]:
    """The two most similar images of two people, by sample number, and their score."""
    mine, theirs = a.images(slice(i, i + 1)), b.images(slice(j, j + 1))
    scores = cosine_scores(a.vectors[mine], b.vectors[theirs])
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(a.samples[mine][row]), int(b.samples[theirs][column]), float(scores[row, column])
