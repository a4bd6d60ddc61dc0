"""Every loss written out with loops in NumPy and float64, as the oracle of the fast ones.

Where a loss takes no gradient through a part, that part is computed from ``fixed``: the features and centers as they
are, while the oracle's slope is measured by moving the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def entropy(logits: list[float], own: int) -> float:
    top = max(logits)
    return math.log(sum(math.exp(z - top) for z in logits)) + top - logits[own]


def mean_entropy(now: Pair, labels: list[int], logit: Callable[[int, int], float]) -> float:
    features, centers = now
    rows = [[logit(i, j) for j in range(len(centers))] for i in range(len(features))]
    return float(np.mean([entropy(row, labels[i]) for i, row in enumerate(rows)]))


def arc(c: float, m: float, easy: bool = False) -> float:
    theta = math.acos(max(-1.0, min(1.0, c)))
    if easy:
        return math.cos(theta + m) if c > 0 else c
    return math.cos(theta + m) if theta + m < math.pi else c - m * math.sin(m)


def softmax(now: Pair, _fixed: Pair, labels: list[int]) -> float:
    return mean_entropy(now, labels, lambda i, j: float(now[0][i] @ now[1][j]))


def normalized(now: Pair, _fixed: Pair, labels: list[int]) -> float:
    return mean_entropy(now, labels, lambda i, j: 30 * cosine(now[0][i], now[1][j]))


def arcface(now: Pair, _fixed: Pair, labels: list[int], easy: bool = False) -> float:
    def logit(i: int, j: int) -> float:
        c = cosine(now[0][i], now[1][j])
        return 64 * (arc(c, 0.5, easy) if j == labels[i] else c)

    return mean_entropy(now, labels, logit)


def arcface_easy(now: Pair, fixed: Pair, labels: list[int]) -> float:
    return arcface(now, fixed, labels, True)


def straight(now: Pair, fixed: Pair, labels: list[int]) -> float:
    """The own cosine's slope is that of the plain one; its value has the margin."""

    def logit(i: int, j: int) -> float:
        c = cosine(now[0][i], now[1][j])
        was = cosine(fixed[0][i], fixed[1][j])
        return 64 * (c + arc(was, 0.5) - was if j == labels[i] else c)

    return mean_entropy(now, labels, logit)


def cosface(now: Pair, _fixed: Pair, labels: list[int]) -> float:
    return mean_entropy(now, labels, lambda i, j: 64 * (cosine(now[0][i], now[1][j]) - 0.35 * (j == labels[i])))


def curricularface(now: Pair, fixed: Pair, labels: list[int]) -> float:
    targets = [cosine(fixed[0][i], fixed[1][label]) for i, label in enumerate(labels)]
    t = 0.01 * float(np.mean(targets))

    def logit(i: int, j: int) -> float:
        c = cosine(now[0][i], now[1][j])
        if j == labels[i]:
            return 64 * arc(c, 0.5)
        hard = cosine(fixed[0][i], fixed[1][j]) > math.cos(math.acos(targets[i]) + 0.5)
        return 64 * (c * (t + c) if hard else c)

    return mean_entropy(now, labels, logit)


def adaface(now: Pair, fixed: Pair, labels: list[int]) -> float:
    norms = np.clip(np.linalg.norm(fixed[0], axis=1), 0.001, 100)
    mean = 0.99 * 20 + 0.01 * norms.mean()
    deviation = 0.99 * 100 + 0.01 * norms.std(ddof=1)

    def logit(i: int, j: int) -> float:
        c = cosine(now[0][i], now[1][j])
        if j != labels[i]:
            return 64 * c
        q = min(1.0, max(-1.0, (norms[i] - mean) / (deviation + 0.001) * 0.333))
        theta = min(math.pi - 0.001, max(0.001, math.acos(max(-1.0, min(1.0, c))) - 0.4 * q))
        return float(64 * (math.cos(theta) - (0.4 * q + 0.4)))

    return mean_entropy(now, labels, logit)


def magface(now: Pair, _fixed: Pair, labels: list[int]) -> float:
    lengths = np.clip(np.linalg.norm(now[0], axis=1), 2, 6)

    def logit(i: int, j: int) -> float:
        c = cosine(now[0][i], now[1][j])
        m = (0.8 - 0.45) / (6 - 2) * (lengths[i] - 2) + 0.45
        return 64 * (arc(c, m, True) if j == labels[i] else c)

    return mean_entropy(now, labels, logit) + 35 * float(np.mean(1 / lengths + lengths / 36))


def cifp(now: Pair, fixed: Pair, labels: list[int]) -> float:
    features, centers = fixed
    count, classes = len(features), len(centers)
    targets = [cosine(features[i], centers[labels[i]]) for i in range(count)]
    pairs = [
        (cosine(features[i], centers[j]), i, j)
        for i in range(count)
        for j in range(classes)
        if j != labels[i] and cosine(features[i], centers[j]) <= targets[i]
    ]
    most = math.ceil(len(pairs) / (classes - 1))
    false_positives = sorted(pairs, reverse=True)[:most]
    penalty = []
    for i in range(count):
        squares = []
        for was, row, j in false_positives:
            if row == i:
                center = now[1][j] if targets[i] - 0.35 > was else centers[j]
                squares.append(cosine(now[0][i], center) ** 2)
        penalty.append(float(np.mean(squares)) if squares else 0.0)

    def logit(i: int, j: int) -> float:
        c = cosine(now[0][i], now[1][j])
        if j != labels[i]:
            return 64 * c
        return 64 * (c - 0.35 - (1 + cosine(now[0][i], centers[j])) * penalty[i])

    return mean_entropy(now, labels, logit)


def triplets(features: Array, labels: list[int], alpha: float) -> list[tuple[int, int, int]]:
    """Each pair with its nearest semi-hard negative."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = []
    for a in range(len(unit)):
        for p in range(a + 1, len(unit)):
            if labels[a] != labels[p]:
                continue
            near = float(np.sum((unit[a] - unit[p]) ** 2))
            far = [(float(np.sum((unit[a] - unit[n]) ** 2)), n) for n in range(len(unit)) if labels[n] != labels[a]]
            fit = [(d, n) for d, n in far if near < d < near + alpha]
            if fit:
                found.append((a, p, min(fit)[1]))
    return found


def triplet(features: Array, chosen: list[tuple[int, int, int]], alpha: float) -> float:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    losses = [
        max(0.0, float(np.sum((unit[a] - unit[p]) ** 2) - np.sum((unit[a] - unit[n]) ** 2)) + alpha)
        for a, p, n in chosen
    ]
    return float(np.mean(losses)) if losses else 0.0


def slope(function: Callable[[Array], float], at: Array, step: float = 1e-6) -> Array:
    """By central differences, one number after the other."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += step
        up = function(moved)
        moved[place] -= 2 * step
        found[place] = (up - function(moved)) / (2 * step)
    return found
