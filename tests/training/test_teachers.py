from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_packs import made_pack

from mien.errors import BadInput, CacheError
from mien.testing import FakeEmbedder
from mien.training.data.index import Index, read_index
from mien.training.data.shards import ShardReader
from mien.training.teachers import TeacherTemplates
from mien.types import ImageArray, Templates


class CountingEmbedder(FakeEmbedder):
    embedded = 0

    def embed(self, chips: ImageArray) -> Templates:
        self.embedded += len(chips)
        return super().embed(chips)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return read_index(made_pack(tmp_path / "pack", people=3, images=3, size=32))


def pixels(index: Index, row: int) -> ImageArray:
    image = cv2.imdecode(np.frombuffer(ShardReader(index).read(row), np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(image, np.uint8)[:, :, ::-1])


def test_images_and_mirrors_are_made_once(tmp_path: Path, index: Index) -> None:
    teacher = CountingEmbedder()
    templates = TeacherTemplates(teacher, tmp_path / "kept.sqlite")
    told: list[int] = []
    assert templates.fill(index, told.append) == []
    assert sum(told) == len(index) == 9
    assert teacher.embedded == 18
    templates.close()
    again = TeacherTemplates(teacher, tmp_path / "kept.sqlite")
    assert again.fill(index) == []
    assert teacher.embedded == 18
    vectors, known = again.of(index.digests)
    assert known.all()
    for row in range(len(index)):
        chip = pixels(index, row)
        wanted = teacher.embed(np.stack([chip, chip[:, ::-1]])).vectors
        assert np.array_equal(vectors[row], wanted)


def test_what_is_not_there_is_said(tmp_path: Path, index: Index) -> None:
    templates = TeacherTemplates(FakeEmbedder(), tmp_path / "kept.sqlite")
    vectors, known = templates.of([bytes(16), index.digests[0]])
    assert not known.any()
    assert not vectors.any()


def test_only_what_is_missing_is_made_after_an_interruption(tmp_path: Path, index: Index) -> None:
    teacher = CountingEmbedder()
    templates = TeacherTemplates(teacher, tmp_path / "kept.sqlite")
    templates.fill(index.take(np.arange(4)))
    templates.fill(index)
    assert teacher.embedded == 18


def test_a_pack_of_another_size_is_refused(tmp_path: Path) -> None:
    pack = read_index(made_pack(tmp_path / "pack", people=2, images=2, size=48))
    with pytest.raises(BadInput, match="expected a pack aligned to 32 pixels, as fake@00000000 takes, got 48 pixels"):
        TeacherTemplates(FakeEmbedder(), tmp_path / "kept.sqlite").fill(pack)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "kept.sqlite").write_bytes(b"something else, long enough to be looked at" * 30)
    with pytest.raises(CacheError, match="cannot be opened"):
        TeacherTemplates(FakeEmbedder(), tmp_path / "kept.sqlite")
