"""Moving a gallery to another embedding space: step by step, searchable in the old space until all have moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, SPACE, faces, with_options

from mien.errors import BadInput, GalleryError, SpaceMismatch
from mien.galleries import Migratable, NewEnrollment, Portraits, SqlGallery, open_gallery
from mien.types import FloatArray

TARGET = "other@11111111"


@pytest.fixture(params=["sqlite", "sqlite-int8", "sqlite-encrypted", "postgresql", "pgvector"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return with_options(BACK_ENDS[request.param](tmp_path), "portraits=yes")


def opened(url: str) -> SqlGallery:
    gallery = open_gallery(url)
    assert isinstance(gallery, SqlGallery)
    assert isinstance(gallery, Migratable)
    return gallery


def new_vector(template_id: int) -> FloatArray:
    vector: FloatArray = faces(1, seed=1000 + template_id, dimension=8).vectors[0]
    return vector


def fill(gallery: SqlGallery) -> None:
    pictures = Portraits([b"\xff\xd8 %d" % i for i in range(3)], np.arange(30, dtype=np.float32).reshape(3, 5, 2))
    gallery.add_many([NewEnrollment("Ada", faces(3), portraits=pictures), ("Bob", faces(2, seed=1))])


def test_a_gallery_moves(url: str) -> None:
    with opened(url) as gallery, opened(url) as other:
        fill(gallery)
        assert gallery.migration() is None
        begun = gallery.begin_migration(TARGET, 8, method="a map")
        assert (begun.target, begun.dimension, begun.method) == (TARGET, 8, "a map")
        assert (begun.done, begun.left, begun.left_without_portrait) == (0, 5, 2)
        rows = gallery.unmigrated(4)
        assert [row.template_id for row in rows] == [1, 2, 3, 4]
        assert [row.picture for row in rows] == [b"\xff\xd8 0", b"\xff\xd8 1", b"\xff\xd8 2", None]
        assert rows[1].landmarks is not None
        assert np.array_equal(rows[1].landmarks, np.arange(10, 20, dtype=np.float32).reshape(5, 2))
        assert rows[3].landmarks is None
        assert np.array_equal(rows[1].vector, faces(3).vectors[1])
        assert gallery.put_pending([(1, new_vector(1)), (3, new_vector(3)), (99, new_vector(99))], mapped=False) == 2
        assert [row.template_id for row in gallery.unmigrated(9)] == [2, 4, 5]
        assert [row.template_id for row in gallery.unmigrated(1, after=2)] == [4]
        assert gallery.finish_migration() == 3
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        assert other.search(faces(1))[0][0].template_id == 1

        (late,) = gallery.add("Cleo", faces(1, seed=2))
        gallery.remove_template(4)
        assert gallery.put_pending([(i, new_vector(i)) for i in (2, 4, 5, late.template_id)], mapped=True) == 3
        state = gallery.migration()
        assert state is not None
        assert (state.done, state.left, state.left_without_portrait) == (5, 0, 0)
        assert gallery.finish_migration() == 0

        assert gallery.migration() is None
        assert (gallery.space, other.space) == (TARGET, TARGET)
        assert gallery.mapped() == 3
        for handle in (gallery, other):
            for id_, name in ((1, "Ada"), (2, "Ada"), (5, "Bob"), (late.template_id, "Cleo")):
                probe = faces(1, seed=1000 + id_, dimension=8, space=TARGET)
                (match,) = handle.search(probe)[0]
                assert (match.identity, match.template_id) == (name, id_)
                assert match.score == pytest.approx(1)
            with pytest.raises(SpaceMismatch):
                handle.search(faces(1))
        assert np.array_equal(gallery.templates("Bob")[1].vectors, [new_vector(5)])
        assert gallery.check() == []
        gallery.add("Dora", faces(1, dimension=8, space=TARGET))
        assert [row.actor is not None for row in gallery.audit_log() if row.action == "migrate"] == [True]


def test_it_goes_on_where_it_stopped(url: str) -> None:
    with opened(url) as gallery:
        fill(gallery)
        gallery.begin_migration(TARGET, 8)
        gallery.put_pending([(1, new_vector(1)), (2, new_vector(2))], mapped=False)
    with opened(url) as gallery:
        state = gallery.migration()
        assert state is not None
        assert (state.done, state.left) == (2, 3)
        assert gallery.begin_migration(TARGET, 8).done == 2
        assert gallery.put_pending([(2, new_vector(7)), (2, new_vector(2))], mapped=False) == 1
        assert gallery.begin_migration(TARGET, 8, method="another map").done == 0
        gallery.put_pending([(1, new_vector(1))], mapped=True)
        assert gallery.begin_migration("third@1", 4).done == 0
        gallery.abandon_migration()
        assert gallery.migration() is None
        assert gallery.space == SPACE
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        gallery.abandon_migration()


def test_what_does_not_fit(url: str) -> None:
    with opened(url) as gallery:
        with pytest.raises(GalleryError, match="nothing to migrate"):
            gallery.begin_migration(TARGET, 8)
        fill(gallery)
        for call in (
            gallery.finish_migration,
            lambda: gallery.unmigrated(1),
            lambda: gallery.put_pending([(1, new_vector(1))], mapped=False),
        ):
            with pytest.raises(GalleryError, match="no migration is under way"):
                call()
        with pytest.raises(GalleryError, match=f"are of {SPACE} already"):
            gallery.begin_migration(SPACE, 16)
        with pytest.raises(BadInput):
            gallery.begin_migration(TARGET, 0)
        gallery.begin_migration(TARGET, 8)
        with pytest.raises(BadInput, match="dimension 8, got dimension 16"):
            gallery.put_pending([(1, faces(1).vectors[0])], mapped=False)
        with pytest.raises(BadInput, match="unit norm"):
            gallery.put_pending([(1, new_vector(1) * 2)], mapped=False)
        assert gallery.put_pending([], mapped=False) == 0
        assert gallery.migration() is not None
        gallery.abandon_migration()
