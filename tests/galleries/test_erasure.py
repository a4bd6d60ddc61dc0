"""What is removed is gone from the raw files, and from the snapshot of the index beside them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gallery_cases import faces, sqlite_url, with_options

from mien.galleries import NewEnrollment, Portraits, SqlGallery, open_gallery
from mien.galleries.sql import removing
from mien.matching import Codec, encode

COUNT, DIMENSION = 120, 128
CODECS: list[Codec] = ["float32", "int8", "int8-only"]


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def traces(i: int, codec: Codec) -> list[bytes]:
    """Bytes that tell of template i: parts of its vector as it is stored, its name, its tag, its picture."""
    stored = encode(faces(COUNT, dimension=DIMENSION).vectors[i : i + 1], codec).tobytes()
    return [stored[:12], stored[-12:], b"secret-person-%d-" % i, b"secret-tag-%d-" % i, b"picture-%d-" % i]


def make(folder: Path, options: str) -> SqlGallery:
    gallery = open_gallery(with_options(sqlite_url(folder), options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def fill(gallery: SqlGallery) -> None:
    templates = faces(COUNT, dimension=DIMENSION)
    landmarks = faces(1).vectors[:, :10].reshape(1, 5, 2)

    def person(i: int) -> NewEnrollment:
        portraits = Portraits([b"\xff\xd8 picture-%d- \xff\xd9" % i], landmarks)
        return NewEnrollment(f"secret-person-{i}-", templates[i], [f"secret-tag-{i}-"], portraits)

    gallery.add_many([person(i) for i in range(0, COUNT, 2)])
    for i in range(1, COUNT, 2):
        gallery.add_many([person(i)])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("snapshot", [False, True])
def test_what_is_removed_leaves_no_bytes(tmp_path: Path, codec: Codec, snapshot: bool) -> None:
    gone = [i for i in range(COUNT) if i % 3]
    with make(tmp_path, f"codec={codec}&portraits=yes") as gallery:
        fill(gallery)
        gallery.compact(snapshot=snapshot)
        assert (tmp_path / "people.db.1.index").exists() == snapshot
        for i in gone[::2]:
            gallery.remove_identity(f"secret-person-{i}-")
        for i in gone[1::2]:
            gallery.remove_template(gallery.templates(f"secret-person-{i}-")[0][0])
        for content in (content_of(tmp_path),):
            for i in range(COUNT):
                assert [trace in content for trace in traces(i, codec)] == [i not in gone] * 5
    content = content_of(tmp_path)
    for i in range(COUNT):
        assert [trace in content for trace in traces(i, codec)] == [i not in gone] * 5


def test_a_tag_that_is_taken_away_leaves_no_bytes(tmp_path: Path) -> None:
    with make(tmp_path, "") as gallery:
        gallery.add("Ada", faces(1), tags=["a-tag-to-be-forgotten"])
        gallery.set_tags("Ada", [])
    assert b"a-tag-to-be-forgotten" not in content_of(tmp_path)


def test_compacting_gives_back_room(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with make(tmp_path, "") as gallery:
        fill(gallery)
        for i in range(COUNT - 5):
            gallery.remove_identity(f"secret-person-{i}-")
        before = path.stat().st_size
        gallery.compact()
        assert path.stat().st_size < before
        assert len(gallery) == 5
        assert (
            gallery.search(faces(COUNT, dimension=DIMENSION)[COUNT - 1])[0][0].identity == f"secret-person-{COUNT - 1}-"
        )
        assert gallery.check() == []
        gallery.compact(snapshot=False)
    assert os.listdir(tmp_path) == ["people.db"]


def test_a_snapshot_is_searched_with_what_came_after_it(tmp_path: Path) -> None:
    with make(tmp_path, "") as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(50)])
        gallery.compact()
        gallery.add("new", faces(1, seed=60))
        gallery.remove_identity("person 7")
        gallery.remove_identity("person 8")
        gallery.add("person 8", faces(1, seed=8))
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        # Were the templates read from here again, this would be reported.
        connection.execute("UPDATE templates SET vector = x'00' WHERE id < 50")
    with make(tmp_path, "") as gallery:
        found = {m.identity: m.score for m in gallery.search(faces(1, seed=60), top=99)[0]}
        assert set(found) == {f"person {i}" for i in range(50) if i != 7} | {"new"}
        assert found["new"] == 1.0
        (match,) = gallery.search(faces(1, seed=8))[0]
        assert (match.identity, match.template_id) == ("person 8", 52)


def test_a_snapshot_of_another_state_is_passed_over(tmp_path: Path) -> None:
    path, snapshot = tmp_path / "people.db", tmp_path / "people.db.1.index"
    with make(tmp_path, "") as gallery:
        gallery.add("Ada", faces(1))
        gallery.compact()
    older, whole = path.read_bytes(), snapshot.read_bytes()
    with make(tmp_path, "") as gallery:
        gallery.add("Bob", faces(1, seed=1))
        gallery.compact()
    # A backup is put back: its ids will be given out again, for other people.
    path.write_bytes(older)
    with make(tmp_path, "") as gallery:
        gallery.add("Cleo", faces(1, seed=2))
        assert sorted(m.identity for m in gallery.search(faces(1), top=9)[0]) == ["Ada", "Cleo"]
    assert not snapshot.exists()
    for damage in (b"", b"mienidx", whole[:-1], b"\0" * 5000):
        snapshot.write_bytes(damage)
        with make(tmp_path, "") as gallery:
            assert sorted(m.identity for m in gallery.search(faces(1), top=9)[0]) == ["Ada", "Cleo"]
            gallery.add("Dora", faces(1, seed=3))
            gallery.remove_identity("Dora")
    snapshot.unlink(missing_ok=True)
    with make(tmp_path, "") as gallery:
        assert len(gallery.search(faces(1), top=9)[0]) == 2


def test_who_died_before_erasing_in_the_snapshot_is_stood_in_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "people.db.1.index"
    with make(tmp_path, "") as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(5)])
        gallery.compact()
        with monkeypatch.context() as patch:
            patch.setattr("mien.galleries.sql.snapshot.SnapshotFile.erase", lambda self, ids: None)
            gallery.remove_identity("person 3")
    trace = faces(1, seed=3).vectors.tobytes()
    assert trace in snapshot.read_bytes()
    with make(tmp_path, "") as gallery:
        assert len(gallery.search(faces(1), top=9)[0]) == 4
    assert trace not in snapshot.read_bytes()


def test_more_is_removed_than_the_log_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "KEPT_REMOVALS", 2)
    with make(tmp_path, "") as gallery:
        gallery.add("Ada", faces(6))
        gallery.add("Bob", faces(1, seed=1))
        gallery.compact()
        gallery.remove_identity("Ada")
        assert [m.identity for m in gallery.search(faces(1), top=9)[0]] == ["Bob"]
    content = content_of(tmp_path)
    assert not any(vector.tobytes() in content for vector in faces(6).vectors)


def test_a_snapshot_goes_when_the_gallery_moves_to_another_space(tmp_path: Path) -> None:
    with make(tmp_path, "") as gallery:
        gallery.add("Ada", faces(1))
        gallery.compact()
        gallery.begin_migration("other@1", 8)
        gallery.put_pending([(1, faces(1, dimension=8).vectors[0])], target="other@1", mapped=False)
        assert gallery.finish_migration("other@1") == 0
        assert gallery.search(faces(1, dimension=8, space="other@1"))[0][0].identity == "Ada"
    assert os.listdir(tmp_path) == ["people.db"]
    assert faces(1).vectors.tobytes() not in content_of(tmp_path)
