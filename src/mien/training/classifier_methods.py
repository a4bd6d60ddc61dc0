"""The three classifiers of templates, fitted with scikit-learn, as arrays that ``mien.matching.classifier`` uses.

- ``logistic``: multinomial logistic regression with a squared penalty on the weights.
- ``svm``: a linear support vector machine for each person against the rest, whose decision values become probabilities
  by a sigmoid fitted on values of photos held out (Platt, Advances in Large Margin Classifiers, 1999).
- ``knn``: the nearest templates vote, with the inverse of their cosine distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MissingExtra
from mien.matching.classifier import ClassifierMethod

__all__ = ["SETTINGS", "Fitted", "choose_setting", "deal", "fit_method", "platt", "require_packages"]

Numbers = NDArray[np.float64]
Owners = NDArray[np.int64]
Setting = float

SETTINGS: dict[ClassifierMethod, tuple[str, tuple[Setting, ...]]] = {
    "logistic": ("C", (10.0, 100.0, 1000.0, 10000.0)),
    "svm": ("C", (1.0,)),
    "knn": ("neighbors", (1.0, 3.0, 5.0, 10.0)),
}
"""Name of each method's own setting, and the values that are tried."""

_FOLDS = 3
# A photo that is wholly misjudged counts as much as this, or the vote of one neighbor would cost infinitely much.
_LEAST_PROBABILITY = 1e-3
_MOST_STEPS = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a method learned of c people; arrays as in ``Classifier``."""

    weights: Numbers
    biases: Numbers
    sigmoids: Numbers
    neighbors: int


def require_packages() -> None:
    """Make sure that scikit-learn is there.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra("training a classifier needs the package scikit-learn: pip install 'mien[train]'") from error


def deal(owners: Owners, folds: int, random: np.random.Generator, own: Owners | None = None) -> Owners:
    """``(n,)`` fold of each photo, so that nobody's photos are all in one; -1 for people with one photo.

    Args:
        owners: ``(n,)``, whom the photos show.
        folds: how many folds; at least 2, or 3 with ``own``.
        random: which photo goes where.
        own: ``(people,)``, a fold for each person that none of that person's photos goes to; -1 for none.
    """
    found = np.full(len(owners), -1, np.int64)
    for person in np.unique(owners):
        (rows,) = np.nonzero(owners == person)
        if len(rows) < 2:
            continue
        there = np.arange(folds)
        if own is not None:
            there = there[there != own[person]]
        found[random.permutation(rows)] = np.resize(random.permutation(there), len(rows))
    return found


def choose_setting(
    vectors: Numbers,
    owners: Owners,
    method: ClassifierMethod,
    judge: Callable[[Owners, Owners, Setting], Numbers],
    *,
    seed: int,
) -> Setting:
    """The setting of least log loss on photos held out, of the values that are tried.

    Args:
        vectors: ``(n, d)`` templates.
        owners: ``(n,)``, person 0..c-1 of each.
        method: which method.
        judge: probabilities ``(k, c)`` of the rows named second, by a classifier of those named first and a setting.
        seed: of the folds.
    """
    tried = SETTINGS[method][1]
    folds = deal(owners, _FOLDS, np.random.default_rng(seed))
    if len(tried) == 1 or (folds < 0).all():
        return tried[len(tried) // 2]
    losses = np.zeros(len(tried))
    for rows, others in _splits(folds):
        for k, value in enumerate(tried):
            right = judge(others, rows, value)[np.arange(len(rows)), owners[rows]]
            losses[k] -= np.log(np.maximum(right, _LEAST_PROBABILITY)).sum()
    return tried[int(np.argmin(losses))]


def fit_method(vectors: Numbers, owners: Owners, method: ClassifierMethod, setting: Setting, *, seed: int) -> Fitted:
    """Fit one method.

    Args:
        vectors: ``(n, d)`` templates.
        owners: ``(n,)``, person 0..c-1 of each; each has one at least.
        method: which method.
        setting: its own setting.
        seed: of the folds of ``svm``.
    """
    dimension = vectors.shape[1]
    if method == "knn":
        return Fitted(np.empty((0, dimension)), np.empty(0), np.empty((0, 2)), min(int(setting), len(vectors)))
    if method == "logistic":
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=setting, max_iter=_MOST_STEPS).fit(vectors, owners)
        if len(model.coef_) == 1:
            # Of two people scikit-learn keeps the second's log odds alone.
            weights, biases = np.zeros((2, dimension)), np.zeros(2)
            weights[1], biases[1] = model.coef_[0], model.intercept_[0]
            return Fitted(weights, biases, np.empty((0, 2)), 0)
        return Fitted(model.coef_, model.intercept_, np.empty((0, 2)), 0)
    weights, biases = _machine(vectors, owners, setting)
    return Fitted(weights, biases, _sigmoids(vectors, owners, setting, weights, biases, seed), 0)


def _machine(vectors: Numbers, owners: Owners, setting: Setting) -> tuple[Numbers, Numbers]:
    """Weights and biases of one support vector machine a person."""
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=setting, dual="auto", random_state=0, max_iter=_MOST_STEPS).fit(vectors, owners)
    weights, biases = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    if len(weights) == 1:
        return np.concatenate([-weights, weights]), np.concatenate([-biases, biases])
    return weights, biases


def _sigmoids(
    vectors: Numbers, owners: Owners, setting: Setting, weights: Numbers, biases: Numbers, seed: int
) -> Numbers:
    """A sigmoid for each person; whoever has one photo gets that of all people together."""
    values = vectors @ weights.T + biases
    folds = deal(owners, _FOLDS, np.random.default_rng(seed))
    for rows, others in _splits(folds):
        its_weights, its_biases = _machine(vectors[others], owners[others], setting)
        values[rows] = vectors[rows] @ its_weights.T + its_biases
    # Where nobody has two photos, the values that were fitted have to do.
    held_out = np.flatnonzero(folds >= 0) if (folds >= 0).any() else np.arange(len(folds))
    mine = owners[held_out, None] == np.arange(values.shape[1])
    together = platt(values[held_out].ravel(), mine.ravel())
    found = [platt(values[held_out, k], own) if own.sum() > 1 else together for k, own in enumerate(mine.T)]
    return np.asarray(found, np.float64)


def _splits(folds: Owners) -> Iterator[tuple[Owners, Owners]]:
    """Rows of each fold, and all others."""
    for fold in range(int(folds.max(initial=-1)) + 1):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(rows):
            yield rows, others


def platt(values: Numbers, mine: NDArray[np.bool_]) -> tuple[float, float]:
    """``a`` and ``b`` of the probability ``1 / (1 + exp(a * value + b))`` that a decision value means.

    Maximum likelihood with Platt's targets, which are a little less than certain: (n + 1) / (n + 2) for the n values of
    the person, 1 / (m + 2) for the m of others. Newton's method with halved steps (Lin, Lin and Weng, Machine Learning
    68, 2007, algorithm 1).

    Args:
        values: ``(n,)`` decision values of photos that were held out.
        mine: ``(n,)``, which of them are of the person.
    """
    positives = int(mine.sum())
    negatives = len(mine) - positives
    targets = np.where(mine, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([values, np.ones(len(values))], axis=1)

    def cost(at: Numbers) -> float:
        exponents = design @ at
        return float((targets * np.logaddexp(0, exponents) + (1 - targets) * np.logaddexp(0, -exponents)).sum())

    at = np.array([0.0, np.log((negatives + 1) / (positives + 1))])
    for _ in range(100):
        claimed = np.exp(-np.logaddexp(0, design @ at))
        slope = design.T @ (targets - claimed)
        if np.abs(slope).max() < 1e-9:
            break
        curvature = design.T @ (design * (claimed * (1 - claimed))[:, None]) + 1e-12 * np.eye(2)
        step = -np.linalg.solve(curvature, slope)
        before, length = cost(at), 1.0
        while length > 1e-10 and cost(at + length * step) > before + 1e-4 * length * float(slope @ step):
            length /= 2
        if length <= 1e-10:
            break
        at = at + length * step
    return float(at[0]), float(at[1])
