from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from made_faces import face_image, fake_recognizer, pairs_table, people_folder, write
from mien.errors import BadInput
from mien.evaluation import (
    PairResults,
    Uncertainty,
    compare_runs,
    evaluate_pairs,
    evaluate_templates,
    k_fold_accuracy,
    read_pairs,
    read_run,
    read_templates_csv,
    with_groups,
)

FEW = Uncertainty(replicates=20)


def evaluated(root: Path, **options: object) -> PairResults:
    return evaluate_pairs(fake_recognizer(), read_pairs(pairs_table(root)), uncertainty=FEW, **options)  # type: ignore[arg-type]


def test_numbers_of_a_set_that_is_easy(tmp_path: Path) -> None:
    results = evaluated(tmp_path)
    values = {figure.name: figure.value for figure in results.figures}
    assert (values["mated"], values["non_mated"], values["fta"]) == (4, 6, 0)
    assert (values["eer"], values["auc"]) == (0, 1)
    assert values["accuracy"] == k_fold_accuracy(results.comparisons).mean
    assert (values["frr_default"], values["far_default"]) == (0, 0)
    assert results.folds is not None
    assert results.folds.trials.tolist() == [4, 6]
    assert "unequal size, 4 to 6" in results.figure("accuracy").note
    assert all(figure.definition.endswith(".") for figure in results.figures)
    assert len({figure.name for figure in results.figures}) == len(results.figures)
    recognizer = fake_recognizer()
    for row in range(len(results.comparisons)):
        a, b = (results.protocol.samples[k] for k in (results.comparisons.left[row], results.comparisons.right[row]))
        assert recognizer.verify(a.source, b.source).score == pytest.approx(results.comparisons.scores[row], abs=1e-6)


def test_folds_that_teach_little_are_told(tmp_path: Path) -> None:
    lines = pairs_table(tmp_path).read_text().split()
    found = {}
    for name, folds in (("one", {"0": "x", "1": "x"}), ("kinds", {"0": "x", "1": "y"})):
        rows = [",".join([*line.split(",")[:3], folds[line.split(",")[2]]]) for line in lines[1:]]
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]))
        found[name] = evaluate_pairs(fake_recognizer(), read_pairs(tmp_path / f"{name}.csv"), uncertainty=FEW)
    assert found["one"].folds is None
    assert found["one"].figure("accuracy").value is None
    assert "at least 2 folds, got 1" in found["one"].figure("accuracy").note
    assert "folds of one kind of pairs alone: 2 of 2" in found["kinds"].figure("accuracy").note
    for image in ("person0/0.png", "person2/0.png", "person0/1.png", "person2/1.png"):
        write(tmp_path / image, face_image(0, faces=0))
    left = evaluate_pairs(fake_recognizer(), read_pairs(tmp_path / "pairs.csv"), uncertainty=FEW)
    assert left.figure("eer").value == 0
    assert left.figure("accuracy").value is None


def test_rates_that_the_trials_do_not_support_say_so(tmp_path: Path) -> None:
    results = evaluated(tmp_path)
    for exponent in range(1, 7):
        figure = results.figure(f"tmr_at_fmr_1e-{exponent}")
        assert figure.value is None
        assert f"asks for {3 * 10**exponent:,}" in figure.note
    with pytest.raises(BadInput, match="expected one of mated"):
        results.figure("no_such")


def test_what_is_not_acquired_counts_in_the_transaction_errors(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    write(tmp_path / "person0" / "1.png", face_image(0, faces=0))
    results = evaluate_pairs(fake_recognizer(), read_pairs(table), uncertainty=FEW)
    values = {figure.name: figure.value for figure in results.figures}
    assert values["fta"] == 1 / 8
    assert (values["fta_mated"], values["fta_non_mated"]) == (1 / 4, 0)
    assert (values["fnmr_default"], values["frr_default"]) == (0, 1 / 4)
    assert values["accuracy"] == pytest.approx(k_fold_accuracy(results.comparisons).mean)
    assert results.acquisition.reasons == {"no_face": 1}
    assert [failure.name for failure in results.acquisition.failures] == ["person0/1.png"]


def test_comparisons_left_of_one_kind_alone(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    for person in range(4):
        write(tmp_path / f"person{person}" / "0.png", face_image(0, faces=0))
    with pytest.raises(BadInput, match="4 of 8 samples gave no template"):
        evaluate_pairs(fake_recognizer(), read_pairs(table), uncertainty=FEW)


def test_groups_have_their_errors(tmp_path: Path) -> None:
    protocol = read_pairs(pairs_table(tmp_path))
    lines = [f"person{p}/{v}.png,{'even' if p % 2 == 0 else 'odd'}" for p in range(4) for v in range(2)]
    (tmp_path / "groups.csv").write_text("\n".join(["image,group", *lines]))
    results = evaluate_pairs(fake_recognizer(), with_groups(protocol, tmp_path / "groups.csv"), uncertainty=FEW)
    assert results.differentials is not None
    assert results.differentials.names == ("even", "odd")
    groups = results.to_json()["groups"]
    assert [group["mated"] for group in groups["groups"]] == [2, 2]
    assert groups["cross_non_mated"] == [[1, 4], [4, 1]]
    none = evaluate_pairs(
        fake_recognizer(), with_groups(protocol, tmp_path / "groups.csv"), uncertainty=Uncertainty(replicates=0)
    ).to_json()
    told = [*none["figures"], *none["groups"]["figures"], *(f for g in none["groups"]["groups"] for f in g["figures"])]
    assert [figure["name"] for figure in told if figure["interval"] is not None] == []
    (tmp_path / "groups.csv").write_text("image,group\nperson3/1.png,odd\n")
    lone = with_groups(protocol, tmp_path / "groups.csv")
    assert lone.groups is not None
    found = evaluate_pairs(fake_recognizer(), lone, uncertainty=FEW)
    assert found.differentials is None
    assert "no errors by group" in found.protocol.notes[-1]


def test_thresholds_decide_as_they_are_printed(tmp_path: Path) -> None:
    results = evaluated(tmp_path)
    threshold = results.threshold
    assert threshold == round(threshold, 4)
    made = results.comparisons.compared
    assert results.figure("fmr_operating").value == (made.non_mated_scores >= threshold).mean()
    assert results.figure("fnmr_operating").value == (made.mated_scores < threshold).mean()
    assert results.folds is not None
    for fold, limit, accuracy in zip(
        results.folds.folds, results.folds.thresholds, results.folds.accuracies, strict=True
    ):
        here = made.folds == fold
        assert ((made.scores >= limit) == made.mated)[here].mean() == accuracy
        assert limit == round(limit, 4)


def test_parts_by_quality(tmp_path: Path) -> None:
    results = evaluated(tmp_path, quality=True)
    assert results.quality_cut == pytest.approx(np.quantile(results.acquired.quality, 0.25))
    assert [part.name for part in results.slices] == ["high/high", "low/high", "low/low"]
    counts = [figure.value for part in results.slices for figure in part.figures[:2]]
    assert sum(count for count in counts if count is not None) == len(results.comparisons)
    everything = evaluated(tmp_path, quality=True, quality_cut=0.0).slices
    assert [part.figures[0].value for part in everything] == [4, 0, 0]
    assert everything[2].figures[3].value is None
    assert results.discard is not None
    assert results.figure("edc_area_5").value == results.discard.area(0.05)
    assert evaluated(tmp_path).slices == ()
    assert evaluated(tmp_path).to_json()["discard"] is None


def test_json_has_every_number_and_can_be_read_again(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    write(tmp_path / "person0" / "1.png", face_image(0, faces=0))
    results = evaluate_pairs(fake_recognizer(), read_pairs(table), uncertainty=FEW)
    text = json.dumps(results.to_json(), allow_nan=False)
    found = json.loads(text)
    assert (found["format"], found["kind"]) == ("mien-evaluation-1", "pairs")
    assert found["run"]["space"] == "fake@00000000"
    assert found["run"]["machine"]
    for figure in found["figures"]:
        assert list(figure) == ["name", "value", "interval", "unit", "definition", "note"]
        if figure["interval"] is not None:
            assert figure["interval"]["low"] <= figure["value"] <= figure["interval"]["high"]
    assert [fold["pairs"] for fold in found["folds"]] == [4, 6]
    (tmp_path / "run.json").write_text(text)
    again = read_run(tmp_path / "run.json")
    assert again.digest == results.protocol.digest
    np.testing.assert_array_equal(again.comparisons.scores, results.comparisons.scores)
    assert sum(map(math.isnan, again.comparisons.scores)) == 1
    assert "trials" not in results.to_json(trials=False)


def test_progress_is_told_while_intervals_are_made(tmp_path: Path) -> None:
    told: list[int] = []
    evaluate_pairs(
        fake_recognizer(), read_pairs(pairs_table(tmp_path)), uncertainty=Uncertainty(20, progress=told.append)
    )
    assert sum(told) >= 5


def test_the_same_seed_gives_the_same_intervals(tmp_path: Path) -> None:
    first, second = (evaluated(tmp_path).to_json()["figures"] for _ in range(2))
    assert first == second


def test_two_runs_are_compared_on_the_same_trials(tmp_path: Path) -> None:
    results = evaluated(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(results.to_json()))
    worse = results.to_json()
    worse["trials"]["scores"] = [0.5 if mated else 0.6 for mated in worse["trials"]["mated"]]
    (tmp_path / "b.json").write_text(json.dumps(worse))
    a, b = read_run(tmp_path / "a.json"), read_run(tmp_path / "b.json")
    found = compare_runs(a, b, FEW)
    rows = {row.name: row for row in found.rows}
    assert (rows["auc"].a, rows["auc"].b, rows["auc"].better) == (1, 0, "A")
    assert rows["eer"].better == "A"
    assert all(row.better == "undecided" for row in compare_runs(a, a, FEW).rows)
    assert rows["accuracy"].a == pytest.approx(results.figure("accuracy").value)
    assert rows["accuracy"].interval.method == "paired-t"
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))["folds"]
    assert told["a"] == [fold["accuracy"] for fold in results.to_json()["folds"]]
    assert told["mean"] == pytest.approx(rows["accuracy"].difference)
    worse["trials"]["folds"] = [1 - fold for fold in worse["trials"]["folds"]]
    (tmp_path / "d.json").write_text(json.dumps(worse))
    apart = compare_runs(a, read_run(tmp_path / "d.json"), FEW)
    assert apart.folds is None
    assert "accuracy" not in {row.name for row in apart.rows}
    assert "same folds" in apart.notes[0]
    with pytest.raises(BadInput, match="at least 2 replicates"):
        compare_runs(a, b, Uncertainty(replicates=0))
    other = results.to_json()
    other["protocol"]["digest"] = "0" * 16
    (tmp_path / "c.json").write_text(json.dumps(other))
    with pytest.raises(BadInput, match="same pairs"):
        compare_runs(a, read_run(tmp_path / "c.json"), FEW)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "JSON"),
        ("[]", "format None"),
        ('{"format": "mien-evaluation-9", "kind": "pairs"}', "mien-evaluation-9"),
        ('{"format": "mien-evaluation-1", "kind": "pairs"}', "found none"),
        ('{"format": "mien-evaluation-1", "kind": "pairs", "trials": {}}', "damaged"),
    ],
)
def test_files_that_are_no_runs(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(BadInput, match=told):
        read_run(tmp_path / "run.json")


def test_templates_are_pooled_by_medium(tmp_path: Path) -> None:
    people_folder(tmp_path, [3, 2])
    write(tmp_path / "blank.png", face_image(0, faces=0))
    rows = ["A,person0/0.png,v", "A,person0/1.png,v", "A,person0/2.png,", "B,person0/1.png,", "C,person1/0.png,"]
    rows += ["D,blank.png,", "C,blank.png,"]
    (tmp_path / "t.csv").write_text("\n".join(["template,image,media", *rows]))
    (tmp_path / "p.csv").write_text("a,b,same\nA,B,1\nA,C,0\nB,D,1\n")
    protocol = read_templates_csv(tmp_path / "t.csv", tmp_path / "p.csv")
    recognizer = fake_recognizer()
    results = evaluate_templates(recognizer, protocol, uncertainty=FEW)
    images = [recognizer.analyze(tmp_path / "person0" / f"{k}.png").templates.vectors[0] for k in range(3)]
    whole = (images[0] + images[1]) / 2 + images[2]
    np.testing.assert_allclose(results.acquired.vectors[0], whole / np.linalg.norm(whole), atol=1e-6)
    assert results.acquired.acquired.tolist() == [True, True, True, False]
    assert results.acquired.codes[3] == "no_face"
    assert np.isnan(results.comparisons.scores).tolist() == [False, False, True]
    assert results.acquisition.samples == 5
