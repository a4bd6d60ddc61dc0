"""Fitting a classifier of people, and finding out on photos and people held out how good it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from importlib import metadata
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mien._version import __version__
from mien.errors import BadInput
from mien.evaluation.rate_intervals import OneKind
from mien.matching.classifier import Classifier, ClassifierMethod, checked_identities
from mien.matching.classifier_facts import ClassifierFacts, ClassifierTest
from mien.training.classifier_methods import (
    SETTINGS,
    Numbers,
    Owners,
    Setting,
    choose_setting,
    deal,
    fit_method,
    require_packages,
)
from mien.types import Templates

__all__ = ["ROUNDS", "fit_classifier"]

ROUNDS = 5
"""Of the cross-validation."""

_FEWEST_PEOPLE = 10
_LEVEL = 0.95
_DIGITS = 6
# One to hold out, and two that a classifier can tell apart.
_FEWEST_WITH_STRANGERS = 3


def fit_classifier(
    templates: Templates,
    people: Sequence[str],
    *,
    threshold: float,
    method: ClassifierMethod = "logistic",
    unknown_rate: float = 0.05,
    data: str = "",
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Classifier:
    """Fit a classifier on all photos, after testing the same on photos and people held out.

    In each of five rounds a fifth of the people are strangers, and of the others some photos are held out; each photo
    is a stranger's once, and once that of a known person who has other photos. The limit to the unknown is the lowest
    similarity to the person they are taken for that no more than ``unknown_rate`` of the strangers' photos reach. With
    fewer than 10 people, or with fewer photos of them than make one of that rate, it is the embedder's own threshold.

    Args:
        templates: ``n`` templates of one space.
        people: who each of them is.
        threshold: the embedder's own, of two templates that match.
        method: ``logistic``, ``svm`` or ``knn``.
        unknown_rate: share of strangers that may be taken for somebody known, above 0 and at most 0.5.
        data: the photos in words, to stand in the classifier.
        seed: of all random choices.
        progress: called with 1 after each round, and after the last fit.

    Raises:
        BadInput: lengths differ, there are fewer than two people, somebody has the name of the unknown, an argument is
            out of range, or nobody has the two photos that ``svm`` needs.
        MissingExtra: scikit-learn is not installed.
    """
    require_packages()
    if method not in get_args(ClassifierMethod):
        raise BadInput(f"method: expected one of {', '.join(get_args(ClassifierMethod))}, got {method!r}")
    if not 0 < unknown_rate <= 0.5:
        raise BadInput(f"unknown_rate: expected a share above 0, at most 0.5, got {unknown_rate}")
    if len(templates) != len(people):
        raise BadInput(f"lengths differ: templates {len(templates)}, people {len(people)}")
    names = checked_identities(people)
    places = {name: k for k, name in enumerate(names)}
    owners = np.asarray([places[name] for name in people], np.int64)
    order = np.argsort(owners, kind="stable")
    templates, owners = templates[order], owners[order]
    counts = np.bincount(owners)
    if method == "svm" and counts.max() < 2:
        raise BadInput("svm: expected somebody with two photos, of which its probabilities are learned, found none")
    advance = (lambda _count: None) if progress is None else progress
    facts = ClassifierFacts(
        data=data,
        people=len(names),
        images=len(templates),
        single=tuple(name for name, count in zip(names, counts.tolist(), strict=True) if count == 1),
        setting="",
        unknown_rate=unknown_rate,
        unknown_source="embedder",
        tested=None,
        date=datetime.now(timezone.utc).date().isoformat(),
        versions={"mien": __version__, **{name: metadata.version(name) for name in ("numpy", "scikit-learn")}},
    )
    fit = _Fit(method, seed, threshold, facts)
    limit = threshold
    if counts.max() > 1:
        seen = _tested(templates, owners, names, fit, advance)
        strangers = seen.similarities[seen.stranger]
        chosen = _limit(strangers, unknown_rate) if len(names) >= _FEWEST_PEOPLE else None
        if chosen is not None:
            limit, fit.facts = chosen, replace(facts, unknown_source="strangers")
        fit.facts = replace(fit.facts, tested=_figures(seen, limit, None if chosen is None else unknown_rate))
    else:
        advance(ROUNDS)
    made = replace(fit.make(templates, owners, names), unknown_below=limit)
    advance(1)
    return made


@dataclass(slots=True)
class _Fit:
    """How classifiers are fitted, alike in each round and at last."""

    method: ClassifierMethod
    seed: int
    unknown_below: float
    facts: ClassifierFacts

    def make(self, templates: Templates, owners: Owners, names: tuple[str, ...]) -> Classifier:
        """A classifier of all these templates, sorted by person; its setting is chosen among them."""

        def judge(fitted: Owners, others: Owners, setting: Setting) -> Numbers:
            return self._with(templates[fitted], owners[fitted], names, setting).probabilities(templates[others])

        vectors = templates.vectors.astype(np.float64)
        return self._with(templates, owners, names, choose_setting(vectors, owners, self.method, judge, seed=self.seed))

    def _with(self, templates: Templates, owners: Owners, names: tuple[str, ...], setting: Setting) -> Classifier:
        fitted = fit_method(templates.vectors.astype(np.float64), owners, self.method, setting, seed=self.seed)
        references, whose = templates, owners
        if self.method != "knn":
            starts = np.searchsorted(owners, np.arange(len(names)))
            sums = np.add.reduceat(templates.vectors.astype(np.float64), starts, axis=0)
            references, whose = Templates.normalized(sums, templates.space), np.arange(len(names))
        return Classifier(
            space=templates.space,
            identities=names,
            method=self.method,
            references=references.vectors,
            owners=whose,
            weights=fitted.weights,
            biases=fitted.biases,
            sigmoids=fitted.sigmoids,
            neighbors=fitted.neighbors,
            unknown_below=self.unknown_below,
            facts=replace(self.facts, setting=f"{SETTINGS[self.method][0]}={setting:g}"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was said of photos held out.

    Attributes:
        stranger: ``(n,)``, whether the photo showed a stranger.
        owners: ``(n,)``, whom it shows.
        groups: ``(n,)``, the round it was held out in.
        right: ``(n,)``, whether the most probable person is the right one; never of a stranger.
        claimed: ``(n,)``, the probability of that person.
        similarities: ``(n,)`` to that person.
    """

    stranger: NDArray[np.bool_]
    owners: Owners
    groups: Owners
    right: NDArray[np.bool_]
    claimed: Numbers
    similarities: NDArray[np.float32]


def _tested(
    templates: Templates, owners: Owners, names: tuple[str, ...], fit: _Fit, advance: Callable[[int], None]
) -> _Seen:
    random = np.random.default_rng(fit.seed)
    away = np.full(len(names), -1, np.int64)
    if len(names) >= _FEWEST_WITH_STRANGERS:
        away = np.resize(np.arange(min(ROUNDS, len(names))), len(names))[random.permutation(len(names))]
    rounds = min(ROUNDS, len(names)) if len(names) >= _FEWEST_WITH_STRANGERS else ROUNDS
    folds = deal(owners, rounds, random, away)
    parts: list[_Seen] = []
    for number in range(rounds):
        strange = away[owners] == number
        held_out = (folds == number) | strange
        if held_out.any():
            (fitted,), (tried,) = np.nonzero(~held_out), np.nonzero(held_out)
            known, codes = np.unique(owners[fitted], return_inverse=True)
            classifier = fit.make(templates[fitted], codes.astype(np.int64), tuple(names[k] for k in known))
            answers = [best for (best,) in classifier.predict(templates[tried])]
            parts.append(
                _Seen(
                    strange[tried],
                    owners[tried],
                    np.full(len(tried), number),
                    np.asarray([names[k] for k in owners[tried]]) == [answer.identity for answer in answers],
                    np.asarray([answer.probability for answer in answers]),
                    np.asarray([answer.similarity for answer in answers], np.float32),
                )
            )
        advance(1)
    advance(ROUNDS - rounds)
    return _Seen(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Seen)))


def _limit(strangers: NDArray[np.float32], rate: float) -> float | None:
    """The lowest limit that no more than that share of strangers reach; None where there is no such share of them."""
    allowed = int(rate * len(strangers))
    if allowed < 1:
        return None
    return float(np.nextafter(np.sort(strangers)[::-1][allowed], np.float32(2)))


def _figures(seen: _Seen, limit: float, rate: float | None) -> ClassifierTest:
    """What to expect, each round's photos at a limit that the other rounds' strangers give; without, at ``limit``."""
    limits = np.full(len(seen.groups), limit)
    if rate is not None:
        for number in np.unique(seen.groups):
            others = seen.similarities[seen.stranger & (seen.groups != number)]
            chosen = _limit(others, rate)
            limits[seen.groups == number] = limit if chosen is None else chosen
    margins, known = seen.similarities - limits, ~seen.stranger
    accepted, strangers = margins >= 0, int(seen.stranger.sum())
    return ClassifierTest(
        rounds=len(np.unique(seen.groups)),
        images=int(known.sum()),
        accuracy=_share(seen.right[known]),
        claimed=round(float(seen.claimed[known].mean()), _DIGITS),
        named=_share((accepted & seen.right)[known]),
        misnamed=_share((accepted & ~seen.right)[known]),
        refused=_share(~accepted[known]),
        strangers=strangers,
        stranger_people=len(np.unique(seen.owners[seen.stranger])),
        accepted=_share(accepted[seen.stranger]) if strangers else None,
        accuracy_interval=_interval(np.where(seen.right, 0.0, -1.0)[known], seen.owners[known]),
        refused_interval=_interval(np.where(accepted, -1e-9 - margins, -margins)[known], seen.owners[known]),
        accepted_interval=_interval(margins[seen.stranger], seen.owners[seen.stranger]) if strangers else None,
    )


def _share(flags: NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), _DIGITS)


def _interval(margins: Numbers, owners: Owners) -> tuple[float, float]:
    """Where the share of margins of 0 or more may lie; photos of one person are alike."""
    found = OneKind(margins, owners, owners).above(0.0, _LEVEL)
    return round(found.low, _DIGITS), round(found.high, _DIGITS)
