"""Classifiers: equal to scikit-learn's, and honest about strangers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from mien.errors import BadInput
from mien.matching.classifier import Classifier, ClassifierMethod
from mien.training.classifier_fit import ROUNDS, fit_classifier
from mien.training.classifier_methods import choose_setting, deal, fit_method, platt
from mien.types import Templates

SPACE = "test@00000000"
METHODS: tuple[ClassifierMethod, ...] = get_args(ClassifierMethod)


def photos(
    people: int, each: int = 8, *, noise: float = 0.5, dimension: int = 24, seed: int = 0
) -> tuple[Templates, list[str]]:
    """Templates around a direction of each person, shuffled."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((people, dimension))
    raw = np.repeat(centers, each, axis=0) + noise * random.standard_normal((people * each, dimension))
    names = [f"person {k:02d}" for k in range(people) for _ in range(each)]
    order = random.permutation(len(names))
    return Templates.normalized(raw[order], SPACE), [names[k] for k in order]


def fitted_classifier(method: ClassifierMethod, people: int, setting: float, seed: int = 0) -> tuple[Any, ...]:
    """Ours and the templates it was made of, by the public fit's own parts."""
    templates, names = photos(people, seed=seed)
    classifier = fit_classifier(templates, names, threshold=0.4, method=method)
    order = np.argsort(names, kind="stable")
    vectors, owners = templates.vectors[order].astype(np.float64), np.asarray(names)[order]
    codes = np.unique(owners, return_inverse=True)[1].astype(np.int64)
    parts = fit_method(vectors, codes, method, setting, seed=0)
    ours = replace(
        classifier,
        weights=parts.weights,
        biases=parts.biases,
        sigmoids=parts.sigmoids,
        neighbors=parts.neighbors,
    )
    return ours, vectors, owners, codes


PROBES = Templates.normalized(np.random.default_rng(99).standard_normal((40, 24)), SPACE)


@pytest.mark.parametrize("people", [2, 3, 12])
def test_logistic_is_scikit_learns(people: int) -> None:
    ours, vectors, owners, _ = fitted_classifier("logistic", people, 100.0)
    model = LogisticRegression(C=100.0, max_iter=5000).fit(vectors, owners)
    assert list(model.classes_) == list(ours.identities)
    expected = model.predict_proba(PROBES.vectors.astype(np.float64))
    np.testing.assert_allclose(ours.probabilities(PROBES), expected, atol=1e-6)


@pytest.mark.parametrize("people", [2, 3, 12])
@pytest.mark.parametrize("neighbors", [1, 5])
def test_knn_is_scikit_learns(people: int, neighbors: int) -> None:
    ours, _, owners, _ = fitted_classifier("knn", people, float(neighbors))
    model = KNeighborsClassifier(neighbors, weights="distance", metric="cosine")
    expected = model.fit(ours.references.astype(np.float64), owners).predict_proba(PROBES.vectors.astype(np.float64))
    np.testing.assert_allclose(ours.probabilities(PROBES), expected, atol=1e-6)


@pytest.mark.parametrize("people", [2, 3, 12])
def test_svm_is_scikit_learns(people: int) -> None:
    """The machines and the served probabilities to 1e-6; scikit-learn's sigmoids stop at a slope of 1e-6."""
    ours, vectors, owners, codes = fitted_classifier("svm", people, 1.0)
    folds = deal(codes, 3, np.random.default_rng(0))
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
    machine = LinearSVC(C=1.0, random_state=0, max_iter=5000)
    model = CalibratedClassifierCV(machine, method="sigmoid", cv=splits, ensemble=False).fit(vectors, owners)
    expected = model.predict_proba(PROBES.vectors.astype(np.float64))
    np.testing.assert_allclose(ours.probabilities(PROBES), expected, atol=2e-4)
    (calibrated,) = model.calibrated_classifiers_
    theirs = np.array([(c.a_, c.b_) for c in calibrated.calibrators])
    if people == 2:
        theirs = np.stack([theirs[0] * [1, -1], theirs[0]])
    served = replace(ours, sigmoids=theirs)
    np.testing.assert_allclose(served.probabilities(PROBES), expected, atol=1e-6)


def test_platts_sigmoid_is_the_likeliest() -> None:
    random = np.random.default_rng(3)
    mine = random.random(200) < 0.2
    values = np.where(mine, 1.0, -1.0) + random.standard_normal(200)
    a, b = platt(values, mine)

    def cost(a: float, b: float) -> float:
        n, m = int(mine.sum()), int((~mine).sum())
        targets = np.where(mine, (n + 1) / (n + 2), 1 / (m + 2))
        claimed = 1 / (1 + np.exp(a * values + b))
        return float(-(targets * np.log(claimed) + (1 - targets) * np.log(1 - claimed)).sum())

    assert a < 0
    for da, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3), (1e-3, 1e-3)):
        assert cost(a + da, b + db) > cost(a, b)


def test_values_that_split_wholly_have_a_sigmoid() -> None:
    a, b = platt(np.array([1.0, 2.0, -1.0, -2.0, -3.0]), np.array([True, True, False, False, False]))
    assert np.isfinite([a, b]).all()
    assert 0.6 < 1 / (1 + np.exp(a * 2 + b)) < 0.9


@pytest.mark.parametrize("method", METHODS)
def test_people_are_told_apart_and_strangers_are_unknown(method: ClassifierMethod) -> None:
    templates, names = photos(20)
    classifier = fit_classifier(templates, names, threshold=0.4, method=method, data="drawn at random")
    facts = classifier.facts
    assert (facts.people, facts.images, facts.single, facts.data) == (20, 160, (), "drawn at random")
    tested = facts.tested
    assert tested is not None
    assert (tested.rounds, tested.images, tested.strangers, tested.stranger_people) == (ROUNDS, 160, 160, 20)
    assert tested.accuracy > 0.95
    assert tested.named + tested.misnamed + tested.refused == pytest.approx(1, abs=1e-5)
    assert facts.unknown_source == "strangers"
    assert tested.accepted is not None
    assert tested.accepted_interval is not None
    assert tested.accepted_interval[0] <= tested.accepted <= tested.accepted_interval[1]
    assert tested.refused_interval[0] <= tested.refused <= tested.refused_interval[1]
    assert tested.accuracy_interval[0] <= tested.accuracy <= tested.accuracy_interval[1]
    assert 0.01 < tested.accepted < 0.12
    best = [answer for (answer,) in classifier.predict(templates)]
    assert np.mean([answer.identity == name for answer, name in zip(best, names, strict=True)]) > 0.97
    strangers, _ = photos(200, seed=7)
    accepted = np.mean([answer.known for (answer,) in classifier.predict(strangers)])
    assert 0.01 < accepted < 0.12


def test_the_limit_keeps_the_rate_that_was_asked_for() -> None:
    templates, names = photos(40, noise=0.8)
    limits = []
    for rate in (0.01, 0.05, 0.2):
        classifier = fit_classifier(templates, names, threshold=0.4, method="knn", unknown_rate=rate)
        tested = classifier.facts.tested
        assert tested is not None
        assert tested.accepted == pytest.approx(rate, abs=0.02 + rate / 3)
        limits.append(classifier.unknown_below)
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == 3


def test_nobody_chooses_the_limit_they_are_judged_by() -> None:
    """At a limit of their own, never more than that share would be accepted."""
    accepted = []
    for seed in range(6):
        tested = fit_classifier(*photos(12, seed=seed), threshold=0.4, method="knn", unknown_rate=0.1).facts.tested
        assert tested is not None
        assert tested.accepted is not None
        accepted.append(tested.accepted)
    assert max(accepted) > 0.11
    assert np.mean(accepted) == pytest.approx(0.1, abs=0.05)


def test_nothing_held_out_is_learned_of() -> None:
    """Names given at random are learned by heart, but no better than by chance where it counts."""
    templates, names = photos(10, each=10, noise=0.1)
    shuffled = list(np.random.default_rng(1).permutation(names))
    tested = fit_classifier(templates, shuffled, threshold=0.4, method="knn").facts.tested
    assert tested is not None
    assert tested.accuracy < 0.3


@pytest.mark.parametrize("method", METHODS)
def test_people_with_one_photo_are_learned_and_not_tested(method: ClassifierMethod) -> None:
    templates, names = photos(12, noise=0.2)
    first = {name: names.index(name) for name in ("person 03", "person 07")}
    kept = [row for row, name in enumerate(names) if first.get(name, row) == row]
    classifier = fit_classifier(templates[kept], [names[row] for row in kept], threshold=0.4, method=method)
    facts = classifier.facts
    assert facts.single == ("person 03", "person 07")
    assert (facts.people, facts.images) == (12, 82)
    assert facts.tested is not None
    assert (facts.tested.images, facts.tested.strangers, facts.tested.stranger_people) == (80, 82, 12)
    others = [row for row, name in enumerate(names) if name == "person 03" and row not in kept]
    for (answer,) in classifier.predict(templates[others]):
        assert (answer.identity, answer.known) == ("person 03", True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("people", [2, 3, 4, 9])
def test_too_few_people_take_the_embedders_threshold(method: ClassifierMethod, people: int) -> None:
    templates, names = photos(people, each=4)
    classifier = fit_classifier(templates, names, threshold=0.4321, method=method)
    assert (classifier.unknown_below, classifier.facts.unknown_source) == (0.4321, "embedder")
    tested = classifier.facts.tested
    assert tested is not None
    assert tested.images == 4 * people
    assert (tested.strangers, tested.accepted is None) == ((0, True) if people == 2 else (4 * people, False))


def test_a_rate_that_so_few_strangers_cannot_show() -> None:
    templates, names = photos(12, each=4)
    assert fit_classifier(templates, names, threshold=0.4, unknown_rate=0.02).facts.unknown_source == "embedder"
    assert fit_classifier(templates, names, threshold=0.4, unknown_rate=0.03).facts.unknown_source == "strangers"


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_one_photo_of_everybody(method: ClassifierMethod) -> None:
    templates, names = photos(12, each=1)
    done: list[int] = []
    classifier = fit_classifier(templates, names, threshold=0.4, method=method, progress=done.append)
    assert classifier.facts.tested is None
    assert classifier.facts.unknown_source == "embedder"
    assert [answer.identity for (answer,) in classifier.predict(templates)] == names
    assert sum(done) == ROUNDS + 1


@pytest.mark.parametrize("method", METHODS)
def test_two_people_with_two_photos(method: ClassifierMethod) -> None:
    templates, names = photos(2, each=2, noise=0.1)
    done: list[int] = []
    classifier = fit_classifier(templates, names, threshold=0.4, method=method, progress=done.append)
    assert [answer.identity for (answer,) in classifier.predict(templates)] == names
    assert sum(done) == ROUNDS + 1


def test_same_seed_same_classifier(tmp_path: Path) -> None:
    templates, names = photos(11)
    one, same, other = (fit_classifier(templates, names, threshold=0.4, method="svm", seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.sigmoids, same.sigmoids)
    assert one.facts == same.facts
    assert one.facts.tested != other.facts.tested
    one.save(tmp_path / "c.npz")
    assert Classifier.load(tmp_path / "c.npz").facts == one.facts


def test_photos_are_dealt_so_that_everybody_stays() -> None:
    owners = np.repeat(np.arange(5), [1, 2, 3, 7, 20]).astype(np.int64)
    own = np.array([0, 1, 2, 0, -1])
    folds = deal(owners, 3, np.random.default_rng(0), own)
    assert folds[owners == 0].tolist() == [-1]
    for person in range(1, 5):
        mine = folds[owners == person]
        assert len(set(mine.tolist())) > 1
        assert own[person] not in mine
        assert (mine >= 0).all()
    assert np.bincount(folds[owners == 4]).tolist() in ([7, 7, 6], [7, 6, 7], [6, 7, 7])


def test_the_setting_of_least_loss_is_chosen() -> None:
    vectors, owners = np.zeros((12, 3)), np.repeat(np.arange(3), 4).astype(np.int64)

    def judge(_fitted: NDArray[np.int64], rows: NDArray[np.int64], setting: float) -> NDArray[np.float64]:
        right = {10.0: 0.5, 100.0: 0.9, 1000.0: 0.7, 10000.0: 0.0}[setting]
        return np.full((len(rows), 3), right)

    assert choose_setting(vectors, owners, "logistic", judge, seed=0) == 100.0


def test_bad_input() -> None:
    templates, names = photos(3, each=2)

    def refused(match: str, *given: Any, **more: Any) -> None:
        with pytest.raises(BadInput, match=match):
            fit_classifier(*(given if given else (templates, names)), **{"threshold": 0.4, **more})

    refused("lengths differ: templates 6, people 5", templates, names[1:])
    refused("at least 2 people, got 1", templates, ["one"] * 6)
    refused("expected no one called 'unknown'", templates, ["unknown", *names[1:]])
    refused("method: expected one of logistic, svm, knn, got 'forest'", method="forest")
    for rate in (0.0, 0.6, float("nan")):
        refused("unknown_rate: expected a share above 0, at most 0.5", unknown_rate=rate)
    refused("svm: expected somebody with two photos", *photos(3, each=1), method="svm")


def test_without_scikit_learn() -> None:
    """Serving needs NumPy alone; fitting says what is missing."""
    script = """
import sys
sys.modules["sklearn"] = None
import numpy as np
from mien.errors import MissingExtra
from mien.matching.classifier import Classifier
from mien.training.classifier_fit import fit_classifier
from mien.types import Templates
try:
    fit_classifier(Templates(np.eye(4, dtype=np.float32), "a@1"), list("abcd"), threshold=0.4)
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ("training a classifier needs the package scikit-learn: pip install 'mien[train]'"), (
        done.stderr
    )
