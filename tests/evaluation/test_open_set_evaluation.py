from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from made_faces import face_image, fake_recognizer, people_folder, write
from mien.errors import BadInput
from mien.evaluation import OpenSetTrials, Uncertainty, acquire, evaluate_open_set, find_overlap, read_people
from mien.evaluation.searches import draw_split, search_split
from mien.matching import cosine_scores

FEW = Uncertainty(replicates=20)


def test_searches_equal_a_whole_score_matrix(tmp_path: Path) -> None:
    people = read_people(people_folder(tmp_path, [3, 4, 2, 1, 3, 3]))
    recognizer = fake_recognizer()
    acquired = acquire(recognizer, people.samples)
    split = draw_split(people, enrolled=1, non_mated_share=0.5, seed=0, number=0)
    found = search_split(recognizer, people, acquired, split)
    probes = np.concatenate([split.mated, split.non_mated])
    order = np.argsort(people.identities[split.enrolled])
    gallery = split.enrolled[order]
    scores = cosine_scores(acquired.vectors[probes], acquired.vectors[gallery])
    slow = OpenSetTrials.from_scores(scores, people.identities[probes], people.identities[gallery])
    np.testing.assert_allclose(found.mated_scores, slow.mated_scores, atol=1e-5)
    np.testing.assert_array_equal(found.mated_ranks, slow.mated_ranks)
    np.testing.assert_allclose(found.non_mated_scores, slow.non_mated_scores, atol=1e-5)
    assert (people.identities[found.mates] == people.identities[found.mated]).all()
    assert (found.people, found.enrolled, found.images) == (3, 3, 3)


def test_splits_are_drawn_by_the_seed_and_use_every_image_once(tmp_path: Path) -> None:
    people = read_people(people_folder(tmp_path, [3, 4, 2, 1, 3, 3]))
    splits = [draw_split(people, enrolled=2, non_mated_share=0.5, seed=1, number=k) for k in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(splits[0].enrolled, splits[1].enrolled)
    assert any(not np.array_equal(splits[0].enrolled, other.enrolled) for other in splits[2:])
    for split in splits:
        every = np.concatenate([split.enrolled, split.mated, split.non_mated])
        assert sorted(every.tolist()) == [*range(len(people.samples))]
        inside = set(people.identities[split.enrolled].tolist())
        assert inside == set(people.identities[split.mated].tolist())
        assert not inside & set(people.identities[split.non_mated].tolist())
        assert {2, 3} & inside == set()


def test_a_folder_that_is_easy(tmp_path: Path) -> None:
    people = read_people(people_folder(tmp_path, [3, 3, 3, 3, 3, 3]))
    results = evaluate_open_set(fake_recognizer(), people, splits=3, uncertainty=FEW)
    values = {figure.name: figure.value for figure in results.figures}
    assert (values["enrolled"], values["mated_searches"], values["non_mated_searches"]) == (3, 18, 27)
    assert (values["rank_1"], values["fta"], values["fte"]) == (1, 0, 0)
    assert (values["fpir_default"], values["fnir_default"]) == (0, 0)
    assert values["tpir_at_fpir_1e-1"] == 1
    assert values["tpir_at_fpir_1e-3"] is None
    assert len(results.splits) == 3
    found = json.loads(json.dumps(results.to_json(), allow_nan=False))
    assert found["kind"] == "open-set"
    assert found["protocol"]["people"] == 6
    again = evaluate_open_set(fake_recognizer(), people, splits=3, uncertainty=FEW).to_json()
    assert again["figures"] == found["figures"]


def test_failures_to_acquire_and_to_enroll_are_misses(tmp_path: Path) -> None:
    folder = people_folder(tmp_path, [2, 2, 2, 2])
    for person in range(4):
        write(folder / f"person{person}" / "0.png", face_image(person, faces=0))
    people = read_people(folder)
    results = evaluate_open_set(fake_recognizer(), people, splits=8, uncertainty=FEW)
    trials = results.trials
    assert (trials.mated_ranks == 0).all()
    values = {figure.name: figure.value for figure in results.figures}
    assert values["rank_1"] == 0
    assert values["fta"] == pytest.approx(0.5)
    fte = values["fte"]
    assert fte is not None
    assert 0 < fte < 1


def test_folders_that_cannot_be_split(tmp_path: Path) -> None:
    people = read_people(people_folder(tmp_path, [2, 2, 1]))
    for options, told in (
        ({"enrolled": 2}, "more than 2 images"),
        ({"enrolled": 0}, "at least 1"),
        ({"non_mated_share": 1.0}, "between 0 and 1"),
        ({"splits": 0}, "splits"),
    ):
        with pytest.raises(BadInput, match=told):
            evaluate_open_set(fake_recognizer(), people, **options)


def test_thresholds_are_those_that_are_printed_and_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    recognizer = fake_recognizer()
    people = read_people(people_folder(tmp_path, [3] * 8))
    results = evaluate_open_set(recognizer, people, splits=5, uncertainty=Uncertainty(20, progress=told.append))
    figures = {figure.name: figure for figure in results.figures}
    assert figures["threshold_default"].value == recognizer.threshold
    limit = figures["threshold_at_fpir_1e-1"].value
    assert limit is not None
    assert limit == round(limit, 6)
    assert results.trials.fpir(limit) <= 0.1
    assert results.trials.fnir(limit, 1) == 1 - (figures["tpir_at_fpir_1e-1"].value or 0)
    assert sum(told) >= 5


def test_people_of_both_folders_are_found(tmp_path: Path) -> None:
    people_folder(tmp_path / "a", [2, 2, 1])
    for name, person in (("x", 1), ("y", 4), ("z", 0)):
        write(tmp_path / "b" / name / "0.png", face_image(person, 1))
    found = find_overlap(fake_recognizer(), read_people(tmp_path / "a"), read_people(tmp_path / "b"))
    assert {(one.a, one.b, one.mutual) for one in found.found} == {("person0", "z", True), ("person1", "x", True)}
    assert found.people == (3, 3)
    assert {(one.image_a, one.image_b) for one in found.found} == {
        ("person0/1.png", "z/0.png"),
        ("person1/1.png", "x/0.png"),
    }
    everybody = find_overlap(fake_recognizer(), read_people(tmp_path / "a"), read_people(tmp_path / "b"), threshold=-1)
    assert len(everybody.found) == 9
    assert everybody.found[0].image_score >= everybody.found[-1].image_score
