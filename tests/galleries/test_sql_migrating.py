"""Moving a gallery to another embedding space: step by step, searchable in the old space until all have moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, SPACE, faces, sqlite_url, with_options

from mien.errors import BadGallery, BadInput, GalleryError, SpaceMismatch
from mien.galleries import Migratable, NewEnrollment, Portraits, SqlGallery, galleries_at, open_gallery
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
        assert (
            gallery.put_pending(
                [(1, new_vector(1)), (3, new_vector(3)), (99, new_vector(99))],
                target=TARGET,
                method="a map",
                mapped=False,
            )
            == 2
        )
        assert [row.template_id for row in gallery.unmigrated(9)] == [2, 4, 5]
        assert [row.template_id for row in gallery.unmigrated(1, after=2)] == [4]
        assert gallery.finish_migration(TARGET, method="a map") == 3
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        assert other.search(faces(1))[0][0].template_id == 1

        (late,) = gallery.add("Cleo", faces(1, seed=2))
        gallery.remove_template(4)
        assert (
            gallery.put_pending(
                [(i, new_vector(i)) for i in (2, 4, 5, late.template_id)], target=TARGET, method="a map", mapped=True
            )
            == 3
        )
        state = gallery.migration()
        assert state is not None
        assert (state.done, state.left, state.left_without_portrait) == (5, 0, 0)
        assert gallery.finish_migration(TARGET, method="a map") == 0

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
        gallery.put_pending([(1, new_vector(1)), (2, new_vector(2))], target=TARGET, mapped=False)
    with opened(url) as gallery:
        state = gallery.migration()
        assert state is not None
        assert (state.done, state.left) == (2, 3)
        assert gallery.begin_migration(TARGET, 8).done == 2
        assert gallery.put_pending([(2, new_vector(7)), (2, new_vector(2))], target=TARGET, mapped=False) == 1
        # A map given later is for what has no portrait: what the portraits gave stays.
        assert gallery.begin_migration(TARGET, 8, method="a map").done == 2
        gallery.put_pending([(4, new_vector(4))], target=TARGET, method="a map", mapped=True)
        assert gallery.begin_migration(TARGET, 8, method="a map").done == 3
        assert gallery.abandon_migration() == 3
        assert gallery.migration() is None
        assert gallery.space == SPACE
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        gallery.abandon_migration()


def test_another_one_is_refused_and_changes_nothing(url: str) -> None:
    with opened(url) as gallery:
        fill(gallery)
        planned = gallery.plan_migration(TARGET, 8, method="a map")
        assert (planned.target, planned.done, planned.left, planned.left_without_portrait) == (TARGET, 0, 5, 2)
        assert gallery.migration() is None
        gallery.begin_migration(TARGET, 8, method="a map")
        gallery.put_pending([(1, new_vector(1))], target=TARGET, method="a map", mapped=False)
        before = gallery.migration()
        for other in ((TARGET, 8, "another map"), (TARGET, 8, None), (TARGET, 4, "a map"), ("third@1", 8, "a map")):
            for step in (gallery.plan_migration, gallery.begin_migration):
                with pytest.raises(GalleryError, match=rf"to {TARGET} .*under way \(1 of 5 .*migrate --abandon"):
                    step(other[0], other[1], method=other[2])
        assert gallery.plan_migration(TARGET, 8, method="a map") == before == gallery.migration()
        assert [entry.action for entry in gallery.audit_log() if entry.action == "abandon"] == []


def test_vectors_of_one_model_never_get_into_the_space_of_another(url: str) -> None:
    """Somebody gives a migration up and begins another, while a batch is with the first one's model."""
    with opened(url) as gallery, opened(url) as elsewhere:
        fill(gallery)
        gallery.begin_migration(TARGET, 8)
        batch = [(row.template_id, new_vector(row.template_id)) for row in gallery.unmigrated(9)]
        elsewhere.abandon_migration()
        elsewhere.begin_migration("third@1", 8)
        with pytest.raises(GalleryError, match=rf"expected a migration to {TARGET} .*, but a migration to third@1 "):
            gallery.put_pending(batch, target=TARGET, mapped=False)
        assert elsewhere.put_pending(batch, target="third@1", mapped=False) == 5
        with pytest.raises(GalleryError, match=rf"expected a migration to {TARGET} .*, but a migration to third@1 "):
            gallery.finish_migration(TARGET)
        assert gallery.space == SPACE
        elsewhere.abandon_migration()
        elsewhere.begin_migration(TARGET, 8, method="a map")
        for method in (None, "another map"):
            with pytest.raises(GalleryError, match="by the map a map"):
                gallery.put_pending(batch, target=TARGET, method=method, mapped=True)
            with pytest.raises(GalleryError, match="by the map a map"):
                gallery.finish_migration(TARGET, method=method)
        state = elsewhere.migration()
        assert state is not None
        assert (state.done, state.left) == (0, 5)


def test_one_that_is_given_up_leaves_nothing(url: str) -> None:
    with opened(url) as gallery:
        fill(gallery)
        assert gallery.abandon_migration() == 0
        gallery.begin_migration(TARGET, 8)
        gallery.put_pending([(1, new_vector(1)), (2, new_vector(2))], target=TARGET, mapped=False)
        (summary,) = galleries_at(url)
        assert (summary.target, summary.migrated, summary.templates) == (TARGET, 2, 5)
        state = gallery.migration()
        assert state is not None
        assert (state.done, state.total) == (2, 5)
        with pytest.raises(GalleryError, match=rf"are of {SPACE} already.*{TARGET} \(2 of 5 .*migrate --abandon"):
            gallery.begin_migration(SPACE, 16)
        assert gallery.abandon_migration() == 2
        assert gallery.migration() is None
        assert gallery.begin_migration(TARGET, 8).done == 0
        assert gallery.abandon_migration() == 0
        gallery.begin_migration("third@1", 4)
        gallery.abandon_migration()
        assert (gallery.space, len(gallery), gallery.check()) == (SPACE, 5, [])
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        logged = [(entry.action, entry.detail) for entry in gallery.audit_log() if entry.action == "abandon"]
        assert logged == [
            ("abandon", f"to={TARGET} templates=2"),
            ("abandon", f"to={TARGET} templates=0"),
            ("abandon", "to=third@1 templates=0"),
        ]
        (summary,) = galleries_at(url)
        assert (summary.target, summary.migrated) == (None, 0)


def test_what_was_given_up_is_erased_in_the_file(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as gallery:
        fill(gallery)
        gallery.begin_migration(TARGET, 8)
        gallery.put_pending([(id_, new_vector(id_)) for id_ in range(1, 6)], target=TARGET, mapped=False)
        traces = [new_vector(id_).tobytes() for id_ in range(1, 6)]
        assert all(trace in content_of(tmp_path) for trace in traces)
        gallery.abandon_migration()
        assert not any(trace in content_of(tmp_path) for trace in traces)
        assert faces(3).vectors[0].tobytes() in content_of(tmp_path)


def test_one_whose_target_is_damaged_can_be_given_up(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as gallery:
        fill(gallery)
        gallery.begin_migration(TARGET, 8)
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        connection.execute("UPDATE galleries SET target = 'x'")
    with opened(sqlite_url(tmp_path)) as gallery:
        with pytest.raises(BadGallery, match="target"):
            gallery.migration()
        gallery.abandon_migration()
        assert gallery.migration() is None


def content_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_what_has_expired_is_not_waited_for(tmp_path: Path) -> None:
    with opened(f"{sqlite_url(tmp_path)}?retention_days=30") as gallery:
        fill(gallery)
        gallery.begin_migration(TARGET, 8)
        gallery.put_pending([(1, new_vector(1)), (2, new_vector(2))], target=TARGET, mapped=False)
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        connection.execute("UPDATE templates SET created = created - 31 * 86400.0 WHERE id IN (1, 3)")
    with opened(f"{sqlite_url(tmp_path)}?mode=ro") as gallery:
        state = gallery.migration()
        assert state is not None
        assert (state.done, state.left, state.left_without_portrait) == (1, 2, 2)
        assert [row.template_id for row in gallery.unmigrated(9)] == [4, 5]
        (summary,) = galleries_at(sqlite_url(tmp_path))
        assert (summary.identities, summary.templates, summary.migrated) == (2, 3, 1)


def test_what_does_not_fit(url: str) -> None:
    with opened(url) as gallery:
        with pytest.raises(GalleryError, match="nothing to migrate"):
            gallery.begin_migration(TARGET, 8)
        fill(gallery)
        for call in (
            lambda: gallery.finish_migration(TARGET),
            lambda: gallery.unmigrated(1),
            lambda: gallery.put_pending([(1, new_vector(1))], target=TARGET, mapped=False),
        ):
            with pytest.raises(GalleryError, match="no migration is under way"):
                call()
        with pytest.raises(GalleryError, match=f"are of {SPACE} already"):
            gallery.begin_migration(SPACE, 16)
        with pytest.raises(BadInput):
            gallery.begin_migration(TARGET, 0)
        gallery.begin_migration(TARGET, 8)
        with pytest.raises(BadInput, match="dimension 8, got dimension 16"):
            gallery.put_pending([(1, faces(1).vectors[0])], target=TARGET, mapped=False)
        with pytest.raises(BadInput, match="unit norm"):
            gallery.put_pending([(1, new_vector(1) * 2)], target=TARGET, mapped=False)
        assert gallery.put_pending([], target=TARGET, mapped=False) == 0
        assert gallery.migration() is not None
        gallery.abandon_migration()
