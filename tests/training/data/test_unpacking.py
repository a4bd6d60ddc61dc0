"""Packs back to files, and the figures of a pack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pack_making import made_index, people_folder

from mien.errors import OutputError
from mien.training.data import read_index
from mien.training.data.naming import FileNames
from mien.training.data.packing import pack_images
from mien.training.data.statistics import statistics
from mien.training.data.unpacking import unpack


def test_files_come_back_byte_for_byte(tmp_path: Path) -> None:
    source = people_folder(tmp_path / "src", [3, 2])
    pack_images(source, tmp_path / "pack", aligned=112, license="CC0-1.0")
    index = read_index(tmp_path / "pack")
    steps: list[int] = []
    assert unpack(index, tmp_path / "out", steps.append) == []
    assert sum(steps) == 5
    for file in source.rglob("*.jpg"):
        assert (tmp_path / "out" / file.relative_to(source)).read_bytes() == file.read_bytes()
    pack_images(tmp_path / "out" / "images.csv", tmp_path / "again", aligned=112)
    again = read_index(tmp_path / "again")
    assert again.digests == index.digests
    assert again.texts("license") == ["CC0-1.0"] * 5
    assert again.identities == index.identities
    np.testing.assert_array_equal(again.landmarks, index.landmarks)


def test_images_that_are_damaged_are_told_of(tmp_path: Path) -> None:
    index = made_index(tmp_path / "pack", [0, 0, 1])
    shard = tmp_path / "pack" / "shard-00000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"image 1", b"image X"))
    ((name, error),) = unpack(index, tmp_path / "out")
    assert name == "1.jpg"
    assert "row 1" in error.message
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.jpg")) == ["0.jpg", "2.jpg"]


def test_a_folder_with_files_in_it_stays(tmp_path: Path) -> None:
    index = made_index(tmp_path / "pack", [0])
    with pytest.raises(OutputError, match="pack: expected a folder that is not there yet or is empty"):
        unpack(index, tmp_path / "pack")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: expected a folder that is not there yet or is empty"):
        unpack(index, tmp_path / "file")


@pytest.mark.parametrize(
    ("identity", "name", "path"),
    [
        ("Ada", "Ada/1.png", "Ada/1.jpg"),
        ("Ada", "set\\photo.v2.jpeg", "Ada/photo.v2.jpg"),
        ("", "train.rec/12", "_nobody/12.jpg"),
        ("../../etc", "/etc/passwd", "_.._etc/passwd.jpg"),
        ("a/b:c", "..", "a_b_c/_.jpg"),
        ("..", ".hidden", "_/hidden.jpg"),
    ],
)
def test_names_stay_inside_the_folder(identity: str, name: str, path: str) -> None:
    assert FileNames().path(identity, name, ".jpg").as_posix() == path


def test_no_name_is_given_twice() -> None:
    names = FileNames()
    given = [
        names.path("a", name, ".jpg").name for name in ("1.png", "1.jpg", "1-2.jpg", "1.bmp", "1-2.png", "A.x", "a.y")
    ]
    assert len({name.casefold() for name in given}) == 7
    assert given[:2] == ["1.jpg", "1-2.jpg"]
    assert names.path("b", "1.png", ".jpg").name == "1.jpg"


def test_figures(tmp_path: Path) -> None:
    labels = [0, 0, 0, 1, -1, 2, 2]
    made = made_index(
        tmp_path, labels, shard_bytes=3000, license=["MIT"] * 4 + [""] * 3, width=[112] * 6 + [96], score=[0.5] * 7
    )
    digests = [*made.digests[:3], made.digests[0], made.digests[4], made.digests[5], made.digests[5]]
    index = made.with_columns(digest=pa.array(digests, pa.binary(16)), quality=[0.0, 100.0, *[None] * 5])
    found = statistics(index, top=2)
    assert (found.images, found.identities, found.unlabeled, found.shards) == (7, 3, 1, 3)
    assert found.bytes == 7 * 7
    assert found.images_a_person == {"least": 1, "median": 2.0, "mean": 2.0, "most": 3}
    assert found.histogram == ((1, 1, 1), (2, 2, 1), (3, 4, 1))
    assert found.largest == (("person 0", 3), ("person 2", 2))
    assert found.sizes == ((112, 112, 6), (96, 112, 1))
    assert found.quality == tuple(range(0, 101, 10))
    assert found.scores == (0.5,) * 11
    assert found.licenses == {"MIT": 4, "": 3}
    # Row 3 is a copy of another person's image, row 6 of the same person's.
    assert (found.duplicates, found.duplicates_across) == (2, 1)
    assert found.with_landmarks == 0


def test_figures_of_nothing(tmp_path: Path) -> None:
    found = statistics(made_index(tmp_path, [0]).take([]))
    assert (found.images, found.identities, found.quality, found.images_a_person) == (0, 0, None, {})
