"""Cleaning: wrong labels, outliers and copies are found with their numbers, and what is right stays."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from face_packs import face_pack
from made_templates import described, mislabeled, people_pack, templates
from pack_making import encoded

import mien
from mien.errors import BadInput, OutputError
from mien.matching.calibration import find_calibration
from mien.training.data import Index, ShardReader, ShardWriter, join_indexes, read_index, write_index
from mien.training.data.centers import robust_centers
from mien.training.data.changes import CHANGES_FILE, Change, require_free, write_rows
from mien.training.data.cleaning import CleanSettings, clean, default_settings
from mien.training.data.describing import Described, describe
from mien.training.data.near_duplicates import DuplicateLimits
from mien.training.data.packing import pack_images

SETTINGS = CleanSettings(outlier=0.3, other=0.5)
SHOWN = [0] * 6 + [1] * 6 + [2] * 6


def test_a_wrong_label_goes_to_whom_it_shows(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", SHOWN)
    index = mislabeled(pack.index, 2, "a01")
    cleaned = clean(index, pack.described, SETTINGS)
    (change,) = cleaned.changes
    assert (change.action, change.reason, change.row, change.name) == ("relabeled", "wrong_label", 2, "2.png")
    assert (change.identity, change.new_identity, change.other_identity) == ("a01", "a00", "a00")
    assert change.own_score is not None
    assert change.other_score is not None
    assert change.own_score < 0.3 < 0.8 < change.other_score
    assert change.compared_row in (0, 1, 3, 4, 5)
    assert change.compared_name == f"{change.compared_row}.png"
    assert cleaned.index.texts("identity") == pack.index.texts("identity")
    assert (cleaned.counts, cleaned.lost) == ({"wrong_label": 1}, ())


def test_or_is_removed(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", SHOWN)
    cleaned = clean(mislabeled(pack.index, 2, "a01"), pack.described, replace(SETTINGS, relabel=False))
    assert [(change.action, change.new_identity) for change in cleaned.changes] == [("removed", "")]
    assert cleaned.index.texts("name") == [name for name in pack.index.texts("name") if name != "2.png"]


def test_a_stranger_is_an_outlier(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", SHOWN)
    vectors = pack.described.vectors.copy()
    vectors[7] = templates([99])[0]
    cleaned = clean(pack.index, described(vectors), SETTINGS)
    (change,) = cleaned.changes
    assert (change.action, change.reason, change.row, change.identity) == ("removed", "outlier", 7, "a01")
    assert change.own_score == pytest.approx(
        float(vectors[7] @ robust_centers(vectors, pack.index.labels, 3, least=0.3).vectors[1]), abs=1e-5
    )
    assert change.compared_row in (6, 8, 9, 10, 11)
    assert len(cleaned.index) == 17


def test_what_is_right_stays(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", [*SHOWN, 3, 4, 4])
    cleaned = clean(pack.index, pack.described, replace(SETTINGS, duplicates=DuplicateLimits(score=0.5)))
    assert cleaned.changes == ()
    assert cleaned.index.table.equals(pack.index.table)


def test_the_center_holds_while_most_are_right(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", [0] * 7 + [1] * 3 + [2] * 3)
    names = ["x"] * 13
    cleaned = clean(pack.index.with_columns(identity=names).relabeled(), pack.described, SETTINGS)
    assert [change.row for change in cleaned.changes] == list(range(7, 13))
    assert cleaned.counts == {"outlier": 6}


def photos(folder: Path, labels: list[int], same: list[int], **columns: list[float]) -> Index:
    """Pictures of which some are one and the same, each time encoded otherwise."""
    data = {}
    for row in range(len(labels)):
        coarse = np.random.default_rng(0 if row in same else row + 1).integers(0, 256, (12, 12, 3), np.uint8)
        image = np.asarray(cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC), np.uint8)
        data[row] = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60 + 5 * row])[1].tobytes()
    index = face_pack(folder, labels, data=data, aligned=112, shard_bytes=1 << 20)
    return index.with_columns(**columns) if columns else index


COPIES = replace(SETTINGS, duplicates=DuplicateLimits(score=0.8))


def test_the_best_of_several_copies_stays(tmp_path: Path) -> None:
    labels, vectors = [0, 0, 0, 0, 1, 1], templates([0, 0, 0, 0, 1, 1], spread=0.1)
    largest = clean(photos(tmp_path / "a", labels, [0, 2, 3]), described(vectors), COPIES)
    assert [(change.row, change.reason, change.compared_row) for change in largest.changes] == [
        (0, "near_duplicate", 3),
        (2, "near_duplicate", 3),
    ]
    quality = [80.0, 10.0, 30.0, 20.0, 50.0, 50.0]
    finest = clean(photos(tmp_path / "b", labels, [0, 2, 3], quality=quality), described(vectors), COPIES)
    assert [(change.row, change.compared_row) for change in finest.changes] == [(2, 0), (3, 0)]


def test_a_photo_with_two_people_stays_with_the_one_it_fits(tmp_path: Path) -> None:
    labels = [0, 0, 0, 1, 1, 1]
    vectors = templates([0, 0, 0, 1, 1, 1], spread=0.3)
    # Between the two people, and somewhat nearer to the second.
    middle = templates([0], spread=0)[0] * 0.9 + templates([1], spread=0)[0]
    vectors[2] = vectors[3] = middle / np.linalg.norm(middle)
    cleaned = clean(photos(tmp_path / "a", labels, [2, 3]), described(vectors), replace(COPIES, margin=0.9))
    (change,) = cleaned.changes
    assert (change.row, change.reason, change.compared_row) == (2, "duplicate_elsewhere", 3)
    assert (change.identity, change.other_identity) == ("person 0", "person 1")
    assert change.own_score is not None
    assert change.other_score is not None
    assert change.own_score < change.other_score
    assert change.correlation is not None
    assert change.correlation >= 0.94
    assert clean(photos(tmp_path / "b", labels, []), described(vectors), replace(COPIES, margin=0.9)).changes == ()


def test_two_images_that_do_not_match_are_told_and_stay(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", [0, 1, 2, 2, 2])
    index = pack.index.with_columns(identity=["x", "x", "y", "y", "y"]).relabeled()
    cleaned = clean(index, pack.described, SETTINGS)
    assert [(change.row, change.action, change.reason) for change in cleaned.changes] == [
        (0, "kept", "ambiguous"),
        (1, "kept", "ambiguous"),
    ]
    assert cleaned.changes[0].compared_row == 1
    assert len(cleaned.index) == 5


def test_one_image_under_a_name_of_its_own_stays(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", [0] * 5)
    index = mislabeled(pack.index, 4, "somebody")
    assert clean(index, pack.described, SETTINGS).changes == ()


def test_one_person_only(tmp_path: Path) -> None:
    pack = people_pack(tmp_path / "a", [0] * 5)
    vectors = pack.described.vectors.copy()
    vectors[3] = templates([9])[0]
    cleaned = clean(pack.index, described(vectors), SETTINGS)
    assert [(change.row, change.reason, change.other_identity) for change in cleaned.changes] == [(3, "outlier", "")]


def test_unreadable_images_and_those_without_a_label(tmp_path: Path) -> None:
    index = face_pack(tmp_path / "pack", [0, 0, 0, 1, -1])
    found = described(templates([0, 0, 0, 1, 0]), missing=[3])
    cleaned = clean(index, found, replace(SETTINGS, duplicates=DuplicateLimits(score=0.5)))
    assert [(change.row, change.reason) for change in cleaned.changes] == [(3, "unreadable")]
    assert cleaned.lost == ("person 1",)
    assert cleaned.index.labels.tolist() == [0, 0, 0, -1]


def test_without_labels_there_is_nothing_to_clean_by(tmp_path: Path) -> None:
    index = face_pack(tmp_path / "pack", [-1, -1])
    with pytest.raises(BadInput, match="expected images with labels, found none among 2"):
        clean(index, described(templates([0, 0])), SETTINGS)


def test_templates_of_other_images_are_refused(tmp_path: Path) -> None:
    index = face_pack(tmp_path / "pack", [0, 0])
    with pytest.raises(BadInput, match="expected templates of its 2 images, got 3"):
        clean(index, described(templates([0, 0, 0])), SETTINGS)
    with pytest.raises(BadInput, match="expected templates of its 2 images"):
        clean(index, replace(described(templates([0, 0])), complete=False), SETTINGS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"outlier": 1.5}, r"outlier: expected a score in -1..1, got 1.5"),
        ({"other": float("nan")}, r"other: expected a score in -1..1, got nan"),
        ({"margin": 0.0}, r"margin: expected above 0 and at most 2, got 0.0"),
    ],
)
def test_settings_are_checked(given: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(SETTINGS, **given)  # type: ignore[arg-type]


def test_the_defaults_come_from_the_calibration(real: mien.Recognizer) -> None:
    calibration = find_calibration(real.space)
    assert calibration is not None
    settings = default_settings(real.space, 0.3, 100)
    assert settings.outlier == calibration.threshold_at(1e-2)
    assert settings.other == calibration.threshold_at_fpir(1e-4, 100)
    assert settings.duplicates is not None
    assert calibration.threshold_at(1e-6) < settings.duplicates.score < 1
    assert default_settings(real.space, 0.3, 100_000).other > settings.other
    unknown = default_settings("nobody@00000000", 0.3, 100, duplicates=False)
    assert (unknown.outlier, unknown.other, unknown.duplicates) == (0.3, 0.3, None)


def test_a_list_of_changes(tmp_path: Path) -> None:
    change = Change("removed", "outlier", "a, b", 3, 'the "x".jpg', "Ada", own_score=0.123456, compared_row=0)
    write_rows(tmp_path / "new" / CHANGES_FILE, Change, [change])
    with (tmp_path / "new" / CHANGES_FILE).open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["pack"], row["row"], row["name"], row["own_score"]) == ("a, b", "3", 'the "x".jpg', "0.1235")
    assert (row["compared_row"], row["other_score"], row["correlation"]) == ("0", "", "")
    with pytest.raises(OutputError, match="cannot be written"):
        write_rows(tmp_path / "new" / CHANGES_FILE / "below.csv", Change, [change])


def test_the_place_must_be_free(tmp_path: Path) -> None:
    require_free(tmp_path / "new", ())
    require_free(tmp_path, ())
    (tmp_path / CHANGES_FILE).touch()
    require_free(tmp_path, (CHANGES_FILE,))
    (tmp_path / "index.parquet").touch()
    with pytest.raises(OutputError, match=r"expected a folder that is not there yet or is empty, found index.parquet"):
        require_free(tmp_path, (CHANGES_FILE,))
    with pytest.raises(OutputError, match=r"found index.parquet"):
        require_free(tmp_path / "index.parquet", (CHANGES_FILE,))


@pytest.fixture(scope="module")
def faces(
    data_root: Path, real: mien.Recognizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Index, Described, Path]:
    """Five people with 16 images each, and their templates."""
    root = tmp_path_factory.mktemp("faces")
    for folder in sorted((data_root / "faces112").iterdir())[:5]:
        (root / "images" / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:16]:
            (root / "images" / folder.name / file.name).write_bytes(file.read_bytes())
    pack_images(root / "images", root / "pack", aligned=112)
    index = read_index(root / "pack")
    return index, describe(index, real.embedder, keep=root / "kept.sqlite"), root


@pytest.mark.data
def test_planted_among_real_faces(real: mien.Recognizer, faces: tuple[Index, Described, Path]) -> None:
    index, _, root = faces
    settings = default_settings(real.space, real.threshold, index.classes)
    before = clean(index, describe(index, real.embedder, keep=root / "kept.sqlite"), settings)
    assert set(before.counts) <= {"near_duplicate", "outlier"}
    right = before.index
    flips = [3, 20, 41, 60]
    names = right.texts("identity")
    wrong = {row: right.identities[(int(right.labels[row]) + 1) % right.classes] for row in flips}
    flipped = right.with_columns(identity=[wrong.get(row, name) for row, name in enumerate(names)]).relabeled()
    copied = [7, 30, 50]
    planted = root / "planted"
    write_index(join_indexes([flipped, _copies(right, copied, planted)], planted), planted)
    index = read_index(planted)
    cleaned = clean(index, describe(index, real.embedder, keep=root / "kept.sqlite"), settings)
    relabeled = {change.row: change.new_identity for change in cleaned.changes if change.reason == "wrong_label"}
    assert relabeled == {row: names[row] for row in flips}
    twins = [change for change in cleaned.changes if change.reason == "near_duplicate"]
    assert {tuple(sorted((c.row, c.compared_row or 0))) for c in twins} == {
        (row, len(right) + k) for k, row in enumerate(copied)
    }
    assert len(cleaned.changes) == len(flips) + len(copied)


def _copies(index: Index, rows: list[int], folder: Path) -> Index:
    """An index of the same people's images cut, brighter and encoded anew."""
    with ShardReader(index) as reader, ShardWriter(folder) as writer:
        stored = []
        for row in rows:
            image = cv2.imdecode(np.frombuffer(reader.read(row), np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            image = cv2.resize(image[3:-2, 2:-4], (112, 112))
            bright = np.clip(image.astype(np.float32) * 1.1 - 8, 0, 255).astype(np.uint8)
            stored.append(writer.add(encoded(np.ascontiguousarray(bright[:, :, ::-1])), ".jpg"))
    part = index.take(rows)
    return replace(
        part.with_columns(
            shard=pa.array([s.shard for s in stored]).dictionary_encode(),
            offset=[s.offset for s in stored],
            length=[s.length for s in stored],
            digest=pa.array([s.digest for s in stored], pa.binary(16)),
        ),
        path=folder / "index.parquet",
    )
