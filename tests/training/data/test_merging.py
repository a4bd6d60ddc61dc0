"""Merging: people of several packs are found, joined or dropped, and what is unsure is left to a person."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from face_packs import SIDE, face_pack
from made_templates import described, people_pack, templates
from pack_making import encoded, noise

import mien
from mien.errors import BadInput, SpaceMismatch
from mien.matching.calibration import find_calibration
from mien.training.data import ShardReader, read_index, write_index
from mien.training.data.changes import write_rows
from mien.training.data.describing import describe
from mien.training.data.joining import Pack
from mien.training.data.merging import Merged, MergeSettings, default_limits, merge, require_mergeable
from mien.training.data.packing import pack_images
from mien.training.data.reviewing import REVIEW_FILE, PeoplePair, read_decisions

SETTINGS = MergeSettings(threshold=0.5, uncertain=0.3)


def two(tmp_path: Path) -> list[Pack]:
    """People 0 to 2, and 1 to 4: two are in both."""
    return [
        people_pack(tmp_path / "a", [0, 0, 0, 1, 1, 1, 2, 2, 2], seed=1),
        people_pack(tmp_path / "b", [1, 1, 2, 2, 3, 3, 4], seed=2),
    ]


def people_of(packs: list[Pack]) -> list[tuple[str, str]]:
    return [(pack.name, name) for pack in packs for name in pack.index.identities]


def filled(file: Path, *lines: str) -> Path:
    file.write_text("pack_a,identity_a,pack_b,identity_b,decision\n" + "".join(f"{line}\n" for line in lines))
    return file


def named(merged: Merged) -> list[tuple[str, str, str, str]]:
    return [(pair.identity_a, pair.identity_b, pair.decision, pair.reason) for pair in merged.pairs]


def test_people_of_both_are_one(tmp_path: Path) -> None:
    packs = two(tmp_path)
    merged = merge(packs, tmp_path / "out", SETTINGS)
    assert sorted(named(merged)) == [
        ("a01", "b01", "same", "over_threshold"),
        ("a02", "b02", "same", "over_threshold"),
    ]
    assert merged.index.identities == ["a00", "a01", "a02", "b03", "b04"]
    assert np.bincount(merged.index.labels).tolist() == [3, 5, 5, 2, 1]
    assert [(c.pack, c.row, c.action, c.reason, c.identity, c.new_identity) for c in merged.changes[:2]] == [
        ("b", 0, "relabeled", "same_person", "b01", "a01"),
        ("b", 1, "relabeled", "same_person", "b01", "a01"),
    ]
    first = merged.changes[0]
    assert (first.compared_pack, first.other_identity) == ("a", "a01")
    assert first.compared_row in (3, 4, 5)
    assert merged.counts == {"same_person": 4}


def test_the_index_finds_every_image_where_it_is(tmp_path: Path) -> None:
    packs = two(tmp_path)
    merged = merge(packs, tmp_path / "deep" / "out", SETTINGS)
    write_index(merged.index, tmp_path / "deep" / "out")
    index = read_index(tmp_path / "deep" / "out")
    assert {path.parent for path in index.shards} == {tmp_path / "a", tmp_path / "b"}
    with ShardReader(index, verify=True) as reader:
        assert len({reader.read(row) for row in range(len(index))}) == 16
    assert not list((tmp_path / "deep" / "out").glob("*.tar"))


def test_dropped_people_are_the_first_packs_alone(tmp_path: Path) -> None:
    merged = merge(two(tmp_path), tmp_path / "out", replace(SETTINGS, shared="drop"))
    assert np.bincount(merged.index.labels).tolist() == [3, 3, 3, 2, 1]
    assert [(c.row, c.action, c.reason) for c in merged.changes] == [
        (row, "removed", "same_person") for row in range(4)
    ]


def test_less_sure_pairs_are_left_to_a_person(tmp_path: Path) -> None:
    packs = two(tmp_path)
    sure = merge(packs, tmp_path / "out", SETTINGS).pairs
    settings = MergeSettings(threshold=0.99, uncertain=0.3)
    merged = merge(packs, tmp_path / "out", settings)
    assert [(pair.decision, pair.reason) for pair in merged.open] == [("", "uncertain")] * 2
    assert merged.index.classes == 7
    pair, same = merged.open[0], sure[0]
    assert pair.mutual
    assert (pair.row_a, pair.row_b, pair.score, pair.image_score) == (
        same.row_a,
        same.row_b,
        same.score,
        same.image_score,
    )
    one, other = packs[0].described.vectors, packs[1].described.vectors
    label_a, label_b = (
        p.index.identities.index(n) for p, n in zip(packs, (pair.identity_a, pair.identity_b), strict=True)
    )
    mine, theirs = one[packs[0].index.labels == label_a], other[packs[1].index.labels == label_b]
    assert pair.score == pytest.approx(float((mine @ theirs.T).mean()), abs=1e-5)
    assert pair.image_score == pytest.approx(float((mine @ theirs.T).max()), abs=1e-5)
    assert (pair.image_a, pair.image_b) == (f"{pair.row_a}.png", f"{pair.row_b}.png")


def test_what_a_person_decided_comes_first(tmp_path: Path) -> None:
    packs = two(tmp_path)
    settings = MergeSettings(threshold=0.99, uncertain=0.3)
    write_rows(tmp_path / REVIEW_FILE, PeoplePair, merge(packs, tmp_path / "out", settings).open)
    with (tmp_path / REVIEW_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["decision"], rows[1]["decision"] = "same", "different"
    with (tmp_path / REVIEW_FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    decisions = read_decisions(tmp_path / REVIEW_FILE, people_of(packs))
    merged = merge(packs, tmp_path / "out", settings, decisions)
    assert {(pair.identity_a, pair.decision, pair.reason) for pair in merged.pairs} == {
        (rows[0]["identity_a"], "same", "decided"),
        (rows[1]["identity_a"], "different", "decided"),
    }
    assert merged.open == ()
    assert merged.index.classes == 6


def test_decisions_on_people_who_are_not_alike(tmp_path: Path) -> None:
    packs = two(tmp_path)
    file = filled(tmp_path / "d.csv", "a,a00,b,b04,same", "a,a01,b,b01,different", "a,a02,b,b02,")
    merged = merge(packs, tmp_path / "out", SETTINGS, read_decisions(file, people_of(packs)))
    assert sorted(named(merged)) == [
        ("a00", "b04", "same", "decided"),
        ("a01", "b01", "different", "decided"),
        ("a02", "b02", "same", "over_threshold"),
    ]
    assert merged.index.identities == ["a00", "a01", "a02", "b01", "b03"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["c,a00,b,b01,same"], r"line 2: expected one of the packs a, b, got 'c'"),
        (["a,nobody,b,b01,same"], r"line 2: expected a person of a, got 'nobody', who is not in it"),
        (["a,a00,b,b01,perhaps"], r"line 2: expected 'same', 'different' or nothing as decision, got 'perhaps'"),
        (["a,a00,a,a00,same"], r"line 2: expected two people, got 'a00' of a twice"),
        (
            ["a,a00,b,b01,same", "b,b01,a,a00,different"],
            r"line 3: expected one decision on 'b01' of b and 'a00' of a, got the opposite of .*line 2",
        ),
        (["a,a00,b"], r"line 2: expected 5 cells, got 3"),
    ],
)
def test_bad_lists_of_decisions(tmp_path: Path, lines: list[str], message: str) -> None:
    people = people_of(two(tmp_path))
    with pytest.raises(BadInput, match=message):
        read_decisions(filled(tmp_path / "d.csv", *lines), people)


def test_a_list_without_decisions_or_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("pack_a,identity_a,pack_b,identity_b\na,b,c,d\n")
    with pytest.raises(BadInput, match="missing decision"):
        read_decisions(tmp_path / "d.csv", [])
    with pytest.raises(BadInput, match="cannot be read"):
        read_decisions(tmp_path / "none.csv", [])


def test_decisions_that_contradict_each_other_together(tmp_path: Path) -> None:
    packs = two(tmp_path)
    lines = ["a,a00,b,b01,same", "b,b01,a,a01,same", "a,a00,a,a01,different"]
    decisions = read_decisions(filled(tmp_path / "d.csv", *lines), people_of(packs))
    with pytest.raises(
        BadInput, match=r"line 4: 'a00' of a and 'a01' of a are decided to be different, but other decisions together"
    ):
        merge(packs, tmp_path / "out", SETTINGS, decisions)
    merged = merge(packs, tmp_path / "out", SETTINGS, decisions[:2])
    assert merged.index.identities == ["a00", "a02", "b03", "b04"]


def test_what_is_decided_keeps_automatic_pairs_from_contradicting_it(tmp_path: Path) -> None:
    packs = [people_pack(tmp_path / name, [0, 0, 5], seed=k) for k, name in enumerate("abc")]
    decided = read_decisions(filled(tmp_path / "d.csv", "a,a00,c,c00,different"), people_of(packs))
    merged = merge(packs, tmp_path / "out", SETTINGS, decided)
    reasons = {(p.identity_a, p.identity_b): (p.decision, p.reason) for p in merged.pairs if p.identity_a[1:] == "00"}
    assert reasons["a00", "c00"] == ("different", "decided")
    assert sorted([reasons["a00", "b00"], reasons["b00", "c00"]]) == [("", "conflict"), ("same", "over_threshold")]


def test_three_packs(tmp_path: Path) -> None:
    packs = [people_pack(tmp_path / name, [0, 0, k + 1], seed=k) for k, name in enumerate("abc")]
    merged = merge(packs, tmp_path / "out", SETTINGS)
    assert merged.index.identities == ["a00", "a01", "b02", "c03"]
    assert np.bincount(merged.index.labels).tolist() == [6, 1, 1, 1]
    assert sorted(pair.reason for pair in merged.pairs) == ["linked", "over_threshold", "over_threshold"]


def test_a_person_twice_in_one_pack_is_left_to_a_person(tmp_path: Path) -> None:
    one = people_pack(tmp_path / "a", [0, 0, 0], seed=1)
    shown, names = [0, 0, 0, 0, 7], ["x", "x", "y", "y", "z"]
    other = people_pack(tmp_path / "b", shown, names=names, seed=2)
    merged = merge([one, other], tmp_path / "out", SETTINGS)
    assert sorted((pair.decision, pair.reason) for pair in merged.pairs) == [
        ("", "not_mutual"),
        ("same", "over_threshold"),
    ]


def test_other_people_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    one = people_pack(tmp_path / "a", [0, 0, 1], names=["Kim", "Kim", "b/Kim"], seed=1)
    other = people_pack(tmp_path / "b", [2, 2], names=["Kim", "Kim"], seed=2)
    merged = merge([one, other], tmp_path / "out", SETTINGS)
    assert merged.index.identities == ["Kim", "b/Kim", "b/Kim-2"]
    assert [(c.reason, c.identity, c.new_identity) for c in merged.changes] == [("name_taken", "Kim", "b/Kim-2")] * 2
    joined = merge([one, people_pack(tmp_path / "c", [0], names=["Kim"])], tmp_path / "out", SETTINGS)
    assert joined.index.identities == ["Kim", "b/Kim"]


def test_images_that_both_have(tmp_path: Path) -> None:
    same = {0: encoded(noise(77, SIDE, SIDE), ".png")}
    one = face_pack(tmp_path / "a", [0, 0, 1], data={**same, 1: encoded(noise(78, SIDE, SIDE), ".png")})
    other = face_pack(tmp_path / "b", [0, 0], data={**same, 1: encoded(noise(79, SIDE, SIDE), ".png")})
    vectors = templates([0, 0, 1], seed=1)
    packs = [
        Pack("a", one, described(vectors)),
        Pack("b", other, described(np.concatenate([vectors[:1], templates([0], seed=2)]))),
    ]
    merged = merge(packs, tmp_path / "out", SETTINGS)
    removed = [change for change in merged.changes if change.action == "removed"]
    assert [(c.reason, c.pack, c.row, c.compared_pack, c.compared_row) for c in removed] == [
        ("same_bytes", "b", 0, "a", 0)
    ]
    assert np.bincount(merged.index.labels).tolist() == [3, 1]
    # One photo with two people who otherwise are not alike.
    packs[1] = Pack("b", other, described(templates([9, 9], seed=2)))
    (pair,) = merge(packs, tmp_path / "out", SETTINGS).pairs
    assert (pair.decision, pair.reason, pair.shared) == ("", "same_bytes", 1)


def test_one_person_each_and_people_without_a_template(tmp_path: Path) -> None:
    packs = [people_pack(tmp_path / name, [0], seed=k) for k, name in enumerate("ab")]
    assert merge(packs, tmp_path / "out", SETTINGS).index.classes == 1
    unreadable = replace(packs[1], described=described(packs[1].described.vectors, missing=[0]))
    merged = merge([packs[0], unreadable], tmp_path / "out", SETTINGS)
    assert (merged.index.classes, merged.pairs) == (2, ())
    decided = read_decisions(filled(tmp_path / "d.csv", "a,a00,b,b00,same"), people_of(packs))
    joined = merge([packs[0], unreadable], tmp_path / "out", SETTINGS, decided)
    assert (joined.index.classes, joined.pairs[0].row_b, joined.pairs[0].image_b) == (1, -1, "")


def test_images_without_a_label_stay(tmp_path: Path) -> None:
    one, other = face_pack(tmp_path / "a", [0, 0, -1]), face_pack(tmp_path / "b", [-1, 0, 1])
    packs = [Pack("a", one, described(templates([0, 0, 0]))), Pack("b", other, described(templates([0, 5, 6])))]
    assert merge(packs, tmp_path / "out", SETTINGS).index.labels.tolist().count(-1) == 2


def test_packs_that_cannot_be_merged(tmp_path: Path) -> None:
    small = face_pack(tmp_path / "small", [0, 1])
    with pytest.raises(BadInput, match="expected at least 2 packs to merge, got 1"):
        require_mergeable([("small", small)])
    with pytest.raises(BadInput, match=r"expected different packs, got small and \./small, which are the same"):
        require_mergeable([("small", small), ("./small", small)])
    large = face_pack(tmp_path / "large", [0], aligned=64)
    message = "expected packs of one alignment, got small aligned to 32 pixels and large aligned to 64 pixels"
    with pytest.raises(BadInput, match=message):
        require_mergeable([("small", small), ("large", large)])
    loose = face_pack(tmp_path / "loose", [0], aligned=None)
    with pytest.raises(BadInput, match="small aligned to 32 pixels and loose not aligned"):
        require_mergeable([("small", small), ("loose", loose)])
    nobody = face_pack(tmp_path / "nobody", [-1, -1])
    with pytest.raises(BadInput, match="nobody: expected images with labels, found none among 2"):
        require_mergeable([("small", small), ("nobody", nobody)])
    other = face_pack(tmp_path / "other", [0])
    with pytest.raises(BadInput, match="expected packs of different names, got x, x"):
        require_mergeable([("x", small), ("x", other)])


def test_templates_must_fit(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    moved = replace(other, described=described(other.described.vectors, space="else@00000000"))
    with pytest.raises(SpaceMismatch, match="expected templates of one space, got else@00000000 and made@00000000"):
        merge([one, moved], tmp_path / "out", SETTINGS)
    short = replace(other, described=described(other.described.vectors[:2]))
    with pytest.raises(BadInput, match="b: expected templates of its 7 images"):
        merge([one, short], tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("limits", [(0.3, 0.5), (1.5, 0.3), (0.5, -2.0), (float("nan"), 0.3)])
def test_limits_are_checked(limits: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="expected -1 <= uncertain <= threshold <= 1"):
        MergeSettings(*limits)


def test_the_defaults_come_from_the_calibration(real: mien.Recognizer) -> None:
    calibration = find_calibration(real.space)
    assert calibration is not None
    assert default_limits(real.space, 0.3) == (calibration.threshold_at(1e-4), calibration.threshold_at(1e-2))
    assert default_limits("nobody@00000000", 0.3) == (0.3, 0.3)


@pytest.mark.data
def test_real_people_in_two_packs(data_root: Path, real: mien.Recognizer, tmp_path: Path) -> None:
    folders = sorted((data_root / "faces112").iterdir())[:6]
    packs = []
    for name, people, part in (("a", folders[:4], slice(0, 8)), ("b", folders[2:], slice(8, 16))):
        for folder in people:
            (tmp_path / f"{name}-images" / f"{name} {folder.name}").mkdir(parents=True)
            for file in sorted(folder.iterdir())[part]:
                (tmp_path / f"{name}-images" / f"{name} {folder.name}" / file.name).write_bytes(file.read_bytes())
        pack_images(tmp_path / f"{name}-images", tmp_path / name, aligned=112)
        index = read_index(tmp_path / name)
        packs.append(Pack(name, index, describe(index, real.embedder, keep=tmp_path / "kept.sqlite")))
    merged = merge(packs, tmp_path / "out", MergeSettings(*default_limits(real.space, real.threshold)))
    assert sorted((pair.identity_a[2:], pair.identity_b[2:]) for pair in merged.same) == [
        (folder.name, folder.name) for folder in folders[2:4]
    ]
    assert merged.open == ()
    assert merged.index.classes == 6
