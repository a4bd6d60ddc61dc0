from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import BadInput, OutputError, SpaceMismatch
from mien.matching.classifier import Classifier, ClassifierMethod, checked_identities
from mien.matching.classifier_facts import ClassifierFacts, ClassifierTest
from mien.types import Templates

SPACE, NAMES = "test@00000000", ("Ada", "Bo", "Zoë")
TESTED = ClassifierTest(5, 12, 0.9, 0.8, 0.85, 0.05, 0.1, 12, 3, 0.06, (0.8, 0.95), (0.05, 0.2), (0.01, 0.2))
FACTS = ClassifierFacts("a test", 3, 12, ("Zoë",), "C=1", 0.05, "strangers", TESTED, "2026-01-01", {"mien": "0"})


def unit(rows: int, dimension: int = 8, seed: int = 0) -> NDArray[np.float32]:
    raw = np.random.default_rng(seed).standard_normal((rows, dimension))
    return Templates.normalized(raw, SPACE).vectors


def made(method: ClassifierMethod = "logistic", **other: Any) -> Classifier:
    random = np.random.default_rng(1)
    per_person = 4 if method == "knn" else 1
    values: dict[str, Any] = {
        "space": SPACE,
        "identities": NAMES,
        "method": method,
        "references": unit(3 * per_person),
        "owners": np.repeat(np.arange(3), per_person),
        "weights": np.empty((0, 8)) if method == "knn" else random.standard_normal((3, 8)),
        "biases": np.empty(0) if method == "knn" else random.standard_normal(3),
        "sigmoids": random.standard_normal((3, 2)) if method == "svm" else np.empty((0, 2)),
        "neighbors": 3 if method == "knn" else 0,
        "unknown_below": 0.3,
        "facts": FACTS,
    }
    return Classifier(**{**values, **other})


def slow(classifier: Classifier, probe: NDArray[np.float32]) -> list[float]:
    """Probabilities of one template by the formulas, number by number."""
    if classifier.method == "knn":
        near = []
        for reference, owner in zip(classifier.references.tolist(), classifier.owners.tolist(), strict=True):
            dot = sum(a * b for a, b in zip(probe.tolist(), reference, strict=True))
            near.append((1 - dot / (math.hypot(*probe.tolist()) * math.hypot(*reference)), owner))
        votes = [0.0] * len(NAMES)
        for distance, owner in sorted(near)[: classifier.neighbors]:
            votes[owner] += 1 / distance
    else:
        votes = []
        for k in range(len(NAMES)):
            value = sum(a * b for a, b in zip(probe.tolist(), classifier.weights[k].tolist(), strict=True))
            value += float(classifier.biases[k])
            if classifier.method == "svm":
                a, b = classifier.sigmoids[k].tolist()
                votes.append(1 / (1 + math.exp(a * value + b)))
            else:
                votes.append(math.exp(value))
    return [vote / sum(votes) for vote in votes]


@pytest.mark.parametrize("method", ["logistic", "svm", "knn"])
def test_probabilities_are_those_of_the_slow_way(method: ClassifierMethod) -> None:
    classifier, probes = made(method), unit(9, seed=2)
    found = classifier.probabilities(Templates(probes, SPACE))
    np.testing.assert_allclose(found, [slow(classifier, probe) for probe in probes], atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_predictions_are_sorted_and_told_apart() -> None:
    classifier = made("knn")
    probes = Templates.normalized(np.concatenate([classifier.references[5:6] + 0.01, unit(4, seed=3)]), SPACE)
    answers = classifier.predict(probes, top=2)
    assert [len(answer) for answer in answers] == [2] * 5
    assert (answers[0][0].identity, answers[0][0].known) == ("Bo", True)
    assert answers[0][0].similarity > 0.99
    similarities = classifier.similarities(probes)
    for row, (first, second) in enumerate(answers):
        assert first.probability >= second.probability
        place = NAMES.index(first.identity)
        mine = classifier.references[classifier.owners == place] @ probes.vectors[row]
        assert first.similarity == pytest.approx(mine.max(), abs=1e-6)
        assert first.similarity == similarities[row, place]
        assert first.known == (first.similarity >= 0.3)
    assert [len(answer) for answer in classifier.predict(probes, top=10)] == [3] * 5
    assert {a.known for answer in made("knn", unknown_below=1.5).predict(probes) for a in answer} == {False}
    assert {a.known for answer in made("knn", unknown_below=-1.0).predict(probes) for a in answer} == {True}


def test_equal_probabilities_go_by_similarity() -> None:
    classifier = made("logistic", weights=np.zeros((3, 8)), biases=np.zeros(3))
    for place, name in enumerate(NAMES):
        (answer,) = classifier.predict(Templates(classifier.references[place : place + 1], SPACE), top=3)
        assert answer[0].identity == name
        assert [a.probability for a in answer] == pytest.approx([1 / 3] * 3)


def test_a_batch_is_as_one_by_one_and_may_be_empty() -> None:
    probes = Templates(unit(7, seed=4), SPACE)
    for method in get_args(ClassifierMethod):
        classifier = made(method)
        together = classifier.predict(probes, top=3)
        for row, answers in enumerate(together):
            (alone,) = classifier.predict(probes[row], top=3)
            assert [a.identity for a in alone] == [a.identity for a in answers]
            assert [a.probability for a in alone] == pytest.approx([a.probability for a in answers], abs=1e-9)
        nothing = Templates(np.empty((0, 8), np.float32), SPACE)
        assert classifier.predict(nothing) == []
        assert classifier.probabilities(nothing).shape == (0, 3)


def test_values_far_out_overflow_nothing() -> None:
    probes = Templates(unit(5, seed=5), SPACE)
    far = made("logistic", weights=1e6 * made().weights)
    assert np.isfinite(far.probabilities(probes)).all()
    nobody = made("svm", sigmoids=np.array([[0.0, 1e5]] * 3))
    np.testing.assert_allclose(nobody.probabilities(probes), 1 / 3)
    enrolled = made("knn").probabilities(Templates(made("knn").references, SPACE))
    np.testing.assert_allclose(enrolled[np.arange(12), made("knn").owners], 1, atol=1e-5)


@pytest.mark.parametrize("method", ["logistic", "svm", "knn"])
def test_files(tmp_path: Path, method: ClassifierMethod) -> None:
    classifier, probes = made(method), Templates(unit(5, seed=6), SPACE)
    path = tmp_path / "people"
    classifier.save(path)
    again = Classifier.load(path)
    assert again.predict(probes, top=3) == classifier.predict(probes, top=3)
    assert again.facts == FACTS
    assert (again.space, again.identities, again.method) == (SPACE, NAMES, method)
    untested = replace(classifier, facts=replace(FACTS, tested=None))
    untested.save(path)
    assert Classifier.load(path).facts.tested is None
    lone = replace(FACTS, tested=replace(TESTED, accepted=None, accepted_interval=None))
    replace(classifier, facts=lone).save(path)
    assert Classifier.load(path).facts == lone
    with pytest.raises(OutputError, match="cannot be written"):
        classifier.save(tmp_path)


def test_other_spaces_and_dimensions_are_refused() -> None:
    with pytest.raises(SpaceMismatch, match="expected templates of test@00000000, got other@11111111"):
        made().predict(Templates(unit(1), "other@11111111"))
    with pytest.raises(BadInput, match="expected templates of dimension 8, got 5"):
        made().predict(Templates(unit(1, 5), SPACE))
    with pytest.raises(BadInput, match="top: expected at least 1, got 0"):
        made().predict(Templates(unit(1), SPACE), top=0)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"method": "forest"}, "method: expected one of logistic, svm, knn, got 'forest'"),
        ({"identities": ("Bo", "Ada", "Zoë")}, "expected sorted names"),
        ({"identities": ("Ada", "Ada", "Zoë")}, "expected sorted names"),
        ({"identities": ("Ada",)}, "expected at least 2 people, got 1"),
        ({"identities": ("Ada", "Bo", "unknown")}, "expected no one called 'unknown'"),
        ({"references": unit(3, 5)}, r"weights: expected shape \(3, 5\)"),
        ({"references": 2 * unit(3)}, "expected unit norm"),
        ({"owners": np.array([0, 0, 2])}, "owners: expected one of 3 people for each of 3"),
        ({"owners": np.array([0, 2, 1])}, "sorted by person"),
        ({"owners": np.array([0, 1])}, "owners"),
        ({"weights": np.zeros((2, 8))}, r"weights: expected shape \(3, 8\) for logistic, got \(2, 8\)"),
        ({"weights": np.full((3, 8), np.nan)}, "weights: expected finite numbers"),
        ({"biases": np.zeros(4)}, "biases: expected shape"),
        ({"sigmoids": np.zeros((3, 2))}, r"sigmoids: expected shape \(0, 2\) for logistic"),
        ({"neighbors": 3}, "neighbors: expected 1 to 3 for knn, 0 for others, got 3"),
        ({"unknown_below": float("nan")}, "unknown_below: expected a similarity"),
    ],
)
def test_parts_that_do_not_fit(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        made(**changed)


def test_files_that_are_no_classifiers(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"

    def refused(match: str) -> None:
        with pytest.raises(BadInput, match=match):
            Classifier.load(path)

    refused("cannot be read: No such file or directory")
    path.write_bytes(b"hello")
    refused("expected a classifier that mien train classifier made, got another file, or a damaged one")
    made().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("or a damaged one")
    for name, array in (
        ("owners", np.array([0, 1, 7])),
        ("weights", np.zeros((3, 2))),
        ("references", np.array(["a"])),
        ("metadata", np.frombuffer(b'{"format": "mien classifier 1"}', np.uint8)),
        ("metadata", np.frombuffer(b'{"format": "mien classifier 1", "identities": 3}', np.uint8)),
    ):
        made().save(path)
        with np.load(path) as file:
            there = dict(file)
        np.savez(path, **{**there, name: array})
        refused("the classifier is damaged")
    np.savez(path, **{**there, "metadata": np.frombuffer(b'{"format": "mien classifier 9"}', np.uint8)})
    refused("newer version")


def test_names() -> None:
    assert checked_identities(["b", "a", "b"]) == ("a", "b")
    with pytest.raises(BadInput, match="at least 2 people, got 0"):
        checked_identities([])
