"""Templates leave a Milvus gallery and enter one with the times of their enrollment."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import SPACE, faces, milvus_url, with_options

from mien.errors import BadInput, GalleryError, SpaceMismatch
from mien.galleries import Block, Gallery, NewEnrollment, Portable, open_gallery
from mien.galleries.exchange import checked_templates, export_templates, import_templates

DAY_S = 86_400.0


def block_of(created: list[float], *, mapped: bool = False) -> Block:
    count = len(created)
    return Block(
        np.arange(1, count + 1),
        [f"person {i}" for i in range(count)],
        [("staff",)] * count,
        faces(count).vectors,
        np.array(created),
        np.full(count, mapped),
    )


def portable(gallery: Gallery) -> Portable:
    assert isinstance(gallery, Portable)
    return gallery


@pytest.fixture
def url(tmp_path: Path) -> str:
    return milvus_url(tmp_path)


def test_times_survive_an_export_and_an_import(url: str, tmp_path: Path) -> None:
    file = str(tmp_path / "people.npz")
    created = [time.time() - 29 * DAY_S, time.time() - 3 * DAY_S]
    with open_gallery(url) as gallery:
        ids = portable(gallery).restore(block_of(created), SPACE)
        assert sorted(ids) == ids
        assert gallery.identities() == [("person 0", 1), ("person 1", 1)]
        assert gallery.tags("person 1") == ["staff"]
        assert gallery.search(faces(2)[1], tags=["staff"])[0][0].identity == "person 1"
        assert sum(export_templates(gallery, file)) == 2
    with np.load(file) as held:
        np.testing.assert_allclose(held["created"], created, atol=0.001)
    with open_gallery(with_options(url, "name=copy")) as copy:
        list(import_templates(copy, checked_templates(file)))
        (block,) = portable(copy).blocks()
        np.testing.assert_allclose(block.created, created, atol=0.001)
        assert block.tags == [("staff",)] * 2
        np.testing.assert_array_equal(block.vectors, faces(2).vectors)


def test_retention_goes_on_from_the_first_enrollment(url: str) -> None:
    with open_gallery(with_options(url, "retention_days=30")) as gallery:
        portable(gallery).restore(block_of([time.time() - 31 * DAY_S, time.time() - 29 * DAY_S]), SPACE)
        assert gallery.identities() == [("person 1", 1)]
        assert [block.identities for block in portable(gallery).blocks()] == [["person 1"]]


def test_blocks_are_of_rising_ids_and_no_larger_than_asked_for(url: str) -> None:
    with open_gallery(url) as gallery:
        assert list(portable(gallery).blocks()) == []
        gallery.add_many([NewEnrollment(f"person {i}", faces(3, seed=i)) for i in range(10)])
        gallery.remove_identity("person 4")
        blocks = list(portable(gallery).blocks(rows=4))
        assert max(map(len, blocks)) <= 4
        ids = np.concatenate([block.template_ids for block in blocks]).tolist()
        assert len(ids) == 27
        assert ids == sorted(ids)
        assert {name for block in blocks for name in block.identities} == {f"person {i}" for i in range(10) if i != 4}


def test_what_cannot_be_kept_is_refused(url: str) -> None:
    with open_gallery(url) as gallery:
        target = portable(gallery)
        with pytest.raises(GalleryError, match="cannot mark templates as mapped"):
            target.restore(block_of([1.0], mapped=True), SPACE)
        for wrong in (time.time() + 1000, np.nan):
            with pytest.raises(BadInput, match="created"):
                target.restore(block_of([wrong]), SPACE)
        assert target.restore(block_of([]), SPACE) == []
        assert len(gallery) == 0
        gallery.add("Ada", faces(1))
        with pytest.raises(SpaceMismatch):
            target.restore(block_of([1.0]), "other@1")
        with pytest.raises(GalleryError, match="keeps no portraits"):
            list(target.blocks(portraits=True))
        assert len(gallery) == 1
