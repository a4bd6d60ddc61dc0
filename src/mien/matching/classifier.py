"""Who of a closed set of people a face shows, with a probability, or that it is somebody else.

A gallery compares templates; a classifier learns what tells its people apart. It is fitted with scikit-learn
(``mien.training.classifier_fit``) and needs NumPy alone to be used. Its probabilities are those of a closed set: they
add up to 1 over its people, whoever the face shows. What speaks of strangers is the similarity to the person that was
found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.matching.array_files import load_arrays, save_arrays
from mien.matching.classifier_facts import ClassifierFacts
from mien.matching.scores import cosine_scores
from mien.matching.search import checked_top
from mien.types import FloatArray, Templates

__all__ = ["UNKNOWN", "Classification", "Classifier", "ClassifierMethod", "checked_identities"]

ClassifierMethod = Literal["logistic", "svm", "knn"]

UNKNOWN = "unknown"
"""What a face is called that shows none of a classifier's people; nobody can have this name."""

_FORMAT = "mien classifier 1"
_ARRAYS = ("references", "owners", "weights", "biases", "sigmoids")
# Less than float32 can tell of a cosine: what is nearer is the very same template.
_LEAST_DISTANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Classification:
    """One identity that a face may show.

    Attributes:
        identity: who.
        probability: that it is this one of the classifier's people, if it is one of them.
        similarity: cosine similarity to the nearest of this identity's references, in -1..1.
        known: whether that reaches the classifier's ``unknown_below``; a face whose first classification is not
            known shows a stranger.
    """

    identity: str
    probability: float
    similarity: float
    known: bool


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A fitted classifier of c people.

    Attributes:
        space: the embedding space of the templates that it takes.
        identities: the c people's names, sorted.
        method: ``logistic``, ``svm`` or ``knn``.
        references: ``(m, d) float32`` of unit norm, what a face's similarity to a person is measured against: for
            ``knn`` all templates, else the mean template of each person.
        owners: ``(m,) int64``, which person a reference is of; sorted, everybody has one.
        weights: ``(c, d) float64`` of the linear methods; ``(0, d)`` for ``knn``.
        biases: ``(c,) float64``; ``(0,)`` for ``knn``.
        sigmoids: ``(c, 2) float64``: with ``(a, b)`` and the decision value ``f``, ``1 / (1 + exp(a * f + b))`` is the
            probability of one against the rest in ``svm`` (Platt 1999); ``(0, 2)`` for the others.
        neighbors: how many references ``knn`` asks; 0 for the others.
        unknown_below: the similarity below which a face shows a stranger.
        facts: what it was made of, and how good it is.

    Raises:
        BadInput: shapes do not fit, a number is not finite, or names are not sorted.
    """

    space: str
    identities: tuple[str, ...]
    method: ClassifierMethod
    references: FloatArray
    owners: NDArray[np.int64]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    sigmoids: NDArray[np.float64]
    neighbors: int
    unknown_below: float
    facts: ClassifierFacts

    def __post_init__(self) -> None:
        if self.method not in get_args(ClassifierMethod):
            raise BadInput(f"method: expected one of {', '.join(get_args(ClassifierMethod))}, got {self.method!r}")
        if checked_identities(self.identities) != self.identities:
            raise BadInput("identities: expected sorted names, each once")
        object.__setattr__(self, "references", Templates(self.references, self.space).vectors)
        owners = np.ascontiguousarray(self.owners, np.int64)
        count, dimension = len(self.identities), self.references.shape[1]
        if owners.shape != (len(self.references),) or not np.array_equal(np.unique(owners), np.arange(count)):
            raise BadInput(f"owners: expected one of {count} people for each of {len(self.references)} references")
        if (np.diff(owners) < 0).any():
            raise BadInput("owners: expected references sorted by person")
        object.__setattr__(self, "owners", owners)
        linear = 0 if self.method == "knn" else count
        calibrated = count if self.method == "svm" else 0
        for name, shape in (("weights", (linear, dimension)), ("biases", (linear,)), ("sigmoids", (calibrated, 2))):
            array = np.ascontiguousarray(getattr(self, name), np.float64)
            if array.shape != shape:
                raise BadInput(f"{name}: expected shape {shape} for {self.method}, got {array.shape}")
            if not np.isfinite(array).all():
                raise BadInput(f"{name}: expected finite numbers, got NaN or infinity")
            object.__setattr__(self, name, array)
        if not (1 <= self.neighbors <= len(owners) if self.method == "knn" else self.neighbors == 0):
            raise BadInput(f"neighbors: expected 1 to {len(owners)} for knn, 0 for others, got {self.neighbors}")
        if not -1 <= self.unknown_below <= 2:
            raise BadInput(
                f"unknown_below: expected a similarity of -1..1, or up to 2 for nobody, got {self.unknown_below}"
            )

    @property
    def dimension(self) -> int:
        """Length d of the templates that it takes."""
        return int(self.references.shape[1])

    def predict(self, templates: Templates, top: int = 1) -> list[list[Classification]]:
        """The most probable identities of each template, most probable first; equals by similarity.

        Args:
            templates: of the classifier's space.
            top: how many identities at most; at least 1.

        Raises:
            SpaceMismatch: they are of another space.
            BadInput: they have another dimension, or ``top`` is no positive number.
        """
        checked_top(top)
        probabilities, similarities = self.probabilities(templates), self.similarities(templates)
        order = np.lexsort((-similarities, -probabilities), axis=1)[:, :top]
        return [
            [
                Classification(
                    self.identities[k],
                    float(probabilities[row, k]),
                    float(similarities[row, k]),
                    bool(similarities[row, k] >= self.unknown_below),
                )
                for k in columns
            ]
            for row, columns in enumerate(order.tolist())
        ]

    def probabilities(self, templates: Templates) -> NDArray[np.float64]:
        """``(n, c) float64``: of each person, if it is one of them; each row adds up to 1.

        Raises:
            SpaceMismatch: the templates are of another space.
            BadInput: they have another dimension.
        """
        vectors = self._checked(templates).astype(np.float64)
        if self.method == "knn":
            return self._voted(vectors)
        values = vectors @ self.weights.T + self.biases
        if self.method == "logistic":
            odds = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(odds / odds.sum(axis=1, keepdims=True))
        # logaddexp overflows nothing, however far a template is from the boundary.
        single = np.exp(-np.logaddexp(0, self.sigmoids[:, 0] * values + self.sigmoids[:, 1]))
        total = single.sum(axis=1, keepdims=True)
        uniform = np.full_like(single, 1 / len(self.identities))
        return np.asarray(np.divide(single, total, out=uniform, where=total > 0))

    def similarities(self, templates: Templates) -> FloatArray:
        """``(n, c) float32``: of each template to the nearest of each person's references.

        Raises:
            SpaceMismatch: the templates are of another space.
            BadInput: they have another dimension.
        """
        scores = cosine_scores(self._checked(templates), self.references)
        starts = np.searchsorted(self.owners, np.arange(len(self.identities)))
        return np.asarray(np.maximum.reduceat(scores, starts, axis=1), np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier as an ``.npz`` file: its arrays, and everything else as JSON.

        The file holds templates, which are personal data.

        Raises:
            OutputError: the file cannot be written.
        """
        told = {
            "space": self.space,
            "identities": self.identities,
            "method": self.method,
            "neighbors": self.neighbors,
            "unknown_below": self.unknown_below,
            "facts": asdict(self.facts),
        }
        save_arrays(path, _FORMAT, told, {name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read a classifier that ``save`` wrote.

        Raises:
            BadInput: there is no such file, it is something else, or it is damaged.
        """
        expected = "a classifier that mien train classifier made"
        told, arrays = load_arrays(path, _FORMAT, _ARRAYS, expected=expected)
        try:
            told["identities"] = tuple(told["identities"])
            told["facts"] = ClassifierFacts.of(told["facts"])
            return cls(**{**told, **arrays})
        except (TypeError, KeyError, ValueError) as error:
            raise BadInput(f"{os.fspath(path)}: the classifier is damaged: {error}") from error

    def _checked(self, templates: Templates) -> FloatArray:
        templates.require_space(self.space)
        if templates.dimension != self.dimension:
            raise BadInput(f"expected templates of dimension {self.dimension}, got {templates.dimension}")
        return templates.vectors

    def _voted(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each of the nearest references votes for its person, with the inverse of its cosine distance."""
        references = self.references.astype(np.float64)
        for rows in (vectors, references):
            # A norm is 1 to float32's digits alone, too few for the distance of two photos that are nearly one.
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        distances = 1 - vectors @ references.T
        nearest = np.argpartition(distances, self.neighbors - 1, axis=1)[:, : self.neighbors]
        votes = 1 / np.maximum(np.take_along_axis(distances, nearest, axis=1), _LEAST_DISTANCE)
        counted = np.zeros((len(vectors), len(self.identities)))
        np.add.at(counted, (np.arange(len(vectors))[:, None], self.owners[nearest]), votes)
        return np.asarray(counted / counted.sum(axis=1, keepdims=True))


def checked_identities(names: Iterable[str]) -> tuple[str, ...]:
    """The different names, sorted.

    Raises:
        BadInput: they are fewer than two, or one is that of the unknown.
    """
    identities = tuple(sorted(set(names)))
    if UNKNOWN in identities:
        raise BadInput(f"identities: expected no one called {UNKNOWN!r}, which is what strangers are called")
    if len(identities) < 2:
        raise BadInput(f"identities: expected at least 2 people, got {len(identities)}")
    return identities
