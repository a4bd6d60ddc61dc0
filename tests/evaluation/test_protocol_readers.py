from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_faces import face_image, pairs_table, people_folder, write
from mien.errors import BadInput
from mien.evaluation import read_pairs, read_people, read_templates_csv, with_groups
from mien.evaluation.protocols.tables import read_table


def lfw(root: Path, text: str, people: dict[str, int]) -> Path:
    for name, count in people.items():
        for number in range(1, count + 1):
            write(root / "images" / name / f"{name}_{number:04d}.jpg", face_image(0))
    (root / "pairs.txt").write_text(text)
    return root


def test_lfw(tmp_path: Path) -> None:
    text = "2\t1\nAda_L\t1\t2\nAda_L\t1\tBob\t1\nBob\t1\t2\nAda_L\t2\tBob\t2\n"
    found = read_pairs(lfw(tmp_path, text, {"Ada_L": 2, "Bob": 2}))
    assert (found.name, len(found), found.identity_source) == ("lfw", 4, "named")
    assert [s.name for s in found.samples] == [
        f"{n}/{n}_{k:04d}.jpg" for n, k in (("Ada_L", 1), ("Ada_L", 2), ("Bob", 1), ("Bob", 2))
    ]
    assert found.mated.tolist() == [True, False, True, False]
    assert found.folds is not None
    assert found.folds.tolist() == [0, 0, 1, 1]
    assert found.left.tolist() == [0, 0, 2, 1]
    assert found.right.tolist() == [1, 2, 3, 3]
    assert found.identities.tolist() == [0, 0, 1, 1]
    assert read_pairs(tmp_path / "pairs.txt").digest == found.digest


def test_lfw_without_folds(tmp_path: Path) -> None:
    found = read_pairs(lfw(tmp_path, "1\nAda 1 2\nAda 1 Bob 1\n", {"Ada": 2, "Bob": 1}))
    assert found.folds is None
    assert found.mated.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "first line"),
        ("two folds\n", "first line"),
        ("2 1\nAda 1 2\nAda 1 Bob 1\n", "4 lines"),
        ("1\nAda 1 Bob 1\nAda 1 2\n", "mated pair"),
        ("1\nAda 1 x\nAda 1 Bob 1\n", "number"),
        ("1\n../Ada 1 2\nAda 1 Bob 1\n", "person's name"),
    ],
)
def test_malformed_lfw(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_pairs(lfw(tmp_path, text, {"Ada": 2, "Bob": 1}), "lfw")


def test_missing_files_are_named_and_their_pairs_left_out(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    (tmp_path / "person0" / "1.png").unlink()
    found = read_pairs(table)
    assert found.missing == ("person0/1.png",)
    assert (found.left_out, len(found)) == (1, 9)
    with pytest.raises(BadInput, match="none of its 10 pairs"):
        read_pairs(table, images=tmp_path / "nowhere")


def cfp(root: Path) -> Path:
    for person in (1, 2):
        for kind in ("frontal", "profile"):
            for number in (1, 2):
                write(root / "Data" / "Images" / f"{person:03d}" / kind / f"{number:02d}.jpg", face_image(person))
    for letter, kind in (("F", "frontal"), ("P", "profile")):
        lines = [f"{2 * p + n - 2} ../Data/Images/{p:03d}/{kind}/{n:02d}.jpg" for p in (1, 2) for n in (1, 2)]
        (root / "Protocol").mkdir(exist_ok=True)
        (root / "Protocol" / f"Pair_list_{letter}.txt").write_text("\n".join(lines) + "\n")
    for kind in ("FF", "FP"):
        for fold, same, different in (("01", "1,2", "1,3\n2,4"), ("02", "3,4", "1,4")):
            folder = root / "Protocol" / "Split" / kind / fold
            folder.mkdir(parents=True)
            (folder / "same.txt").write_text(same)
            (folder / "diff.txt").write_text(different)
    return root


def test_cfp(tmp_path: Path) -> None:
    found = read_pairs(cfp(tmp_path), "cfp-fp")
    assert found.mated.tolist() == [True, False, False, True, False]
    assert found.samples[found.left[0]].name == "Data/Images/001/frontal/01.jpg"
    assert found.samples[found.right[0]].name == "Data/Images/001/profile/02.jpg"
    assert found.folds is not None
    assert found.folds.tolist() == [0, 0, 0, 1, 1]
    assert len(read_pairs(tmp_path, "cfp-ff").samples) == 4
    with pytest.raises(BadInput, match="cfp-ff or cfp-fp"):
        read_pairs(tmp_path)
    (tmp_path / "Protocol" / "Split" / "FP" / "01" / "same.txt").write_text("1,99")
    with pytest.raises(BadInput, match="pair lists"):
        read_pairs(tmp_path, "cfp-fp")
    (tmp_path / "Protocol" / "Split" / "FP" / "01" / "same.txt").write_text("1,3")
    with pytest.raises(BadInput, match="one person"):
        read_pairs(tmp_path, "cfp-fp")


@pytest.mark.parametrize(
    ("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8"), (";", "utf-16"), ("|", "utf-8")]
)
def test_tables_with_marks_and_separators(tmp_path: Path, separator: str, encoding: str) -> None:
    found = read_pairs(pairs_table(tmp_path, separator=separator, encoding=encoding))
    assert len(found) == 10
    assert int(found.mated.sum()) == 4
    assert found.folds is not None
    assert np.bincount(found.folds).tolist() == [4, 6]
    assert found.identity_source == "linked"
    assert len(set(found.identities.tolist())) == 4


def test_a_table_without_headings_has_them_in_order(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    lines = table.read_text().splitlines()[1:]
    table.write_text("\n".join(lines))
    assert len(read_pairs(table)) == 10


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a,b,same\n", "found none"),
        ("a,b\nx,y\n", "missing same"),
        ("a,b,same\nperson0/0.png,person0/1.png,maybe\n", "line 2.*'maybe'"),
        ("a,b,same\nperson0/0.png,person0/1.png\n", "expected 3 cells, got 2"),
        ("a,b,same\n,person0/1.png,1\n", "column 'a'"),
        ("a,b,same\nperson0/0.png,person0/1.png,1\n", "all of them mated"),
        ("a,b,same\nperson0/0.png,person1/1.png,0\n", "all of them non-mated"),
        ("a,b,same,fold\nperson0/0.png,person0/1.png,1,1\nperson0/0.png,person1/1.png,0,\n", "line 3: expected a fold"),
        ("a,b,same,group_a\nperson0/0.png,person0/1.png,1,x\n", "both columns group_a"),
        ("a,b,same,a\nperson0/0.png,person0/1.png,1,x\n", "each column once"),
        (
            "a,b,same,identity_a,identity_b\nperson0/0.png,person0/1.png,1,Ada,Bob\nperson0/0.png,person1/0.png,0,Ada,C\n",
            "identities of one person",
        ),
        (
            "a,b,same,identity_a,identity_b\nperson0/0.png,person0/1.png,1,A,A\nperson0/0.png,person1/0.png,0,B,C\n",
            "another line",
        ),
    ],
)
def test_malformed_tables(tmp_path: Path, lines: str, told: str) -> None:
    pairs_table(tmp_path)
    (tmp_path / "bad.csv").write_text(lines)
    with pytest.raises(BadInput, match=told):
        read_pairs(tmp_path / "bad.csv")


def test_tables_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"a,b,same\n\xe9,b,1\n")
    with pytest.raises(BadInput, match="0xe9"):
        read_pairs(tmp_path / "latin.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(BadInput, match="empty"):
        read_table(tmp_path / "empty.csv", ("a",))
    with pytest.raises(BadInput, match="nothing of that name"):
        read_pairs(tmp_path / "absent.csv")
    with pytest.raises(BadInput, match="found neither"):
        read_pairs(tmp_path)


def test_columns_nobody_asked_for_are_told(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    table.write_text(table.read_text().replace("fold", "folds"))
    found = read_pairs(table)
    assert found.folds is None
    assert found.notes == ("columns not used: folds",)


def test_pairs_that_are_odd_are_told(tmp_path: Path) -> None:
    people_folder(tmp_path, [3, 1])
    assert read_pairs(pairs_table(tmp_path / "set")).notes == ()
    lines = ["a,b,same", "person0/0.png,person0/1.png,1", "person0/1.png,person0/0.png,1"]
    lines += ["person0/1.png,person0/2.png,1", "person0/0.png,person0/2.png,0", "person1/0.png,person1/0.png,1"]
    (tmp_path / "odd.csv").write_text("\n".join([*lines, "person0/0.png,person1/0.png,0"]))
    found = read_pairs(tmp_path / "odd.csv")
    assert len(found) == 6
    assert found.notes == (
        "pairs that other lines have too: 1, as odd.csv, line 3; they are counted as they stand",
        "pairs of an image with itself: 1, as odd.csv, line 6; they are counted as they stand",
        "non-mated pairs of images that mated pairs connect: 1, as odd.csv, line 5; they are counted as they stand",
    )


def test_groups(tmp_path: Path) -> None:
    protocol = read_pairs(pairs_table(tmp_path))
    (tmp_path / "groups.csv").write_text("image;group\nperson0/0.png;masked\nperson1/0.png;plain\n")
    found = with_groups(protocol, tmp_path / "groups.csv")
    assert found.group_names == ("masked", "plain")
    assert found.groups is not None
    assert sorted(found.groups.tolist()) == [-1] * 6 + [0, 1]
    assert found.notes == ("images without a group: 6 of 8",)
    (tmp_path / "groups.csv").write_text("image,group\nelsewhere.png,masked\n")
    with pytest.raises(BadInput, match="of the protocol"):
        with_groups(protocol, tmp_path / "groups.csv")


def test_people(tmp_path: Path) -> None:
    people_folder(tmp_path / "people", [2, 1])
    (tmp_path / "people" / "nobody").mkdir()
    (tmp_path / "people" / ".hidden").mkdir()
    write(tmp_path / "people" / "stray.png", face_image(0))
    found = read_people(tmp_path / "people")
    assert found.names == ("person0", "person1")
    assert found.identities.tolist() == [0, 0, 1]
    with pytest.raises(BadInput, match="each person"):
        read_people(tmp_path / "people" / "person0")
    assert len(read_people(tmp_path / "people" / "person0", loose=True).names) == 2
    with pytest.raises(BadInput, match="expected a folder"):
        read_people(tmp_path / "absent")


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scan = people_folder(tmp_path, [2, 2]), os.scandir
    for closed in (root, root / "person1"):

        def scandir(path: Any, closed: Path = closed) -> Any:
            if Path(path) == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(BadInput, match=f"{closed.name}: expected a folder that can be read: Permission denied"):
            read_people(root)


def test_templates(tmp_path: Path) -> None:
    people_folder(tmp_path, [3, 2])
    (tmp_path / "t.csv").write_text(
        "template,image,media\nA,person0/0.png,v\nA,person0/1.png,v\nB,person0/2.png,\nC,person1/0.png,\nC,gone.png,\n"
    )
    (tmp_path / "p.csv").write_text("a,b,same\nA,B,1\nA,C,0\n")
    found = read_templates_csv(tmp_path / "t.csv", tmp_path / "p.csv")
    assert [s.name for s in found.pairs.samples] == ["A", "B", "C"]
    assert found.template.tolist() == [0, 0, 1, 2]
    assert found.media[0] == found.media[1]
    assert len(set(found.media.tolist())) == 3
    assert found.pairs.missing == ("gone.png",)
    (tmp_path / "p.csv").write_text("a,b,same\nA,D,1\nA,C,0\n")
    with pytest.raises(BadInput, match="got 'D'"):
        read_templates_csv(tmp_path / "t.csv", tmp_path / "p.csv")


@pytest.mark.data
def test_the_measuring_data(data_root: Path) -> None:
    for kind, pairs, folds in (("lfw", 3000, 5), ("cfp-ff", 3500, 5), ("cfp-fp", 3500, 5)):
        found = read_pairs(data_root / kind[:3], kind)  # type: ignore[arg-type]
        assert (len(found), int(found.mated.sum())) == (pairs, pairs // 2)
        assert found.folds is not None
        assert found.folds.max() + 1 == folds
        assert not found.missing
