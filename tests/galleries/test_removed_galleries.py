"""Removing a whole gallery: what goes, what stays, and who has it open."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gallery_cases import BACK_ENDS, LASTING, BackEnd, encrypted_url, faces, postgres_url, sqlite_url, with_options

from mien.errors import BadGallery, GalleryError, GalleryLocked, GalleryNotFound
from mien.galleries import NewEnrollment, Portraits, SqlGallery, galleries_at, open_gallery, remove_gallery


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> BackEnd:
    return BackEnd(BACK_ENDS[request.param](tmp_path))


def url_of(back_end: BackEnd, options: str) -> str:
    return with_options(back_end.url, options)


def test_a_gallery_goes_and_the_others_stay(lasting: BackEnd) -> None:
    with lasting.open("name=staff") as staff, lasting.open("name=guests") as guests:
        staff.add("Ada", faces(3))
        staff.add("Bob", faces(1, seed=1), tags=["boss"])
        guests.add("Ada", faces(2, seed=2))
    assert remove_gallery(url_of(lasting, "name=staff")) == 4
    assert [summary.name for summary in galleries_at(lasting.url)] == ["guests"]
    with lasting.open("name=guests") as guests:
        assert guests.identities() == [("Ada", 2)]
        assert guests.search(faces(1, seed=2))[0][0].identity == "Ada"
    with pytest.raises(GalleryNotFound, match="no gallery named 'staff'"):
        remove_gallery(url_of(lasting, "name=staff"))
    with pytest.raises(GalleryNotFound, match="no gallery named 'staff'"):
        open_gallery(url_of(lasting, "name=staff"), create=False)


def test_a_name_can_be_used_again_for_a_gallery_of_another_kind(lasting: BackEnd) -> None:
    with lasting.open("name=staff") as staff:
        former = [e.template_id for e in staff.add("Ada", faces(2), tags=["boss"])]
    assert remove_gallery(url_of(lasting, "name=staff")) == 2
    with lasting.open("name=staff") as staff:
        assert (len(staff), staff.space, staff.identities()) == (0, None, [])
        staff.add("Bob", faces(1, dimension=8, space="other@1"))
        assert staff.search(faces(1, dimension=8, space="other@1"))[0][0].identity == "Bob"
        assert staff.tags("Bob") == []
        if isinstance(staff, SqlGallery):
            assert staff.check() == []
        else:
            assert not {e.template_id for e in staff.add("Bob", faces(1, dimension=8, space="other@1"))} & {*former}
    assert remove_gallery(url_of(lasting, "name=staff")) > 0


def test_who_has_it_open_is_told(lasting: BackEnd) -> None:
    with lasting.open("name=staff") as staff, lasting.open("name=guests"):
        (enrolled, _) = staff.add("Ada", faces(2))
        staff.search(faces(1))
        assert remove_gallery(url_of(lasting, "name=staff")) == 2
        calls: list[Callable[[], Any]] = [
            lambda: staff.search(faces(1)),
            lambda: staff.search(faces(1), identities=["Ada"]),
            lambda: staff.add("Ada", faces(1)),
            lambda: staff.rename("Ada", "Bob"),
            lambda: staff.remove_identity("Ada"),
            lambda: staff.remove_template(enrolled.template_id),
            lambda: staff.templates("Ada"),
            lambda: staff.tags("Ada"),
            lambda: staff.portrait(enrolled.template_id),
            lambda: staff.identities(limit=3),
            staff.identities,
            staff.count_identities,
            lambda: len(staff),
            lambda: staff.space,
        ]
        for call in calls:
            with pytest.raises(GalleryNotFound):
                call()


@pytest.mark.parametrize("place", [sqlite_url, postgres_url])
def test_nobody_takes_another_gallery_for_the_one_that_was_removed(
    place: Callable[[Path], str], tmp_path: Path
) -> None:
    url = place(tmp_path)
    with open_gallery(f"{url}?name=staff") as staff:
        staff.add("Ada", faces(1))
        remove_gallery(f"{url}?name=staff")
        with open_gallery(f"{url}?name=visitors") as visitors:
            visitors.add("Eve", faces(1))
            with pytest.raises(GalleryNotFound, match="removed while it was open"):
                staff.search(faces(1))
            with pytest.raises(GalleryNotFound, match="removed while it was open"):
                staff.add("Ada", faces(1))
            assert visitors.identities() == [("Eve", 1)]


def test_nothing_is_left_in_the_files(tmp_path: Path) -> None:
    landmarks = faces(1).vectors[:, :10].reshape(1, 5, 2)
    vector = faces(1, seed=5).vectors.tobytes()
    traces = [b"secret-name", b"secret-tag", b"secret-picture", b"secret-warden", vector[:12], vector[-12:]]
    url = f"{sqlite_url(tmp_path)}?portraits=yes&actor=secret-warden"
    with open_gallery(url) as gallery:
        portrait = Portraits([b"\xff\xd8 secret-picture"], landmarks)
        gallery.add_many([NewEnrollment("secret-name", faces(1, seed=5), ["secret-tag"], portrait)])
        assert isinstance(gallery, SqlGallery)
        gallery.compact()
        assert all(trace in b"".join(path.read_bytes() for path in tmp_path.iterdir()) for trace in traces)
    (tmp_path / ".people.db.1.index.half-written").write_bytes(b"secret-name")
    assert remove_gallery(url) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["people.db"]
    assert not [trace for trace in traces if trace in (tmp_path / "people.db").read_bytes()]
    assert galleries_at(url) == []


def test_no_key_is_needed(tmp_path: Path) -> None:
    url = encrypted_url(tmp_path)
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(2))
    (tmp_path / "key").unlink()
    assert remove_gallery(sqlite_url(tmp_path)) == 2


def test_a_damaged_gallery_can_be_removed(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(2))
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection, connection:
        connection.execute("UPDATE galleries SET options = 'nonsense'")
    with pytest.raises(BadGallery):
        open_gallery(url)
    assert remove_gallery(url) == 2


def test_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(GalleryNotFound, match="no gallery at"):
        remove_gallery(sqlite_url(tmp_path))
    with pytest.raises(GalleryNotFound, match="no gallery at"):
        remove_gallery(f"milvus:///{tmp_path / 'people.milvus'}")
    with pytest.raises(GalleryNotFound, match="no gallery at"):
        remove_gallery(postgres_url(tmp_path))
    with pytest.raises(BadGallery, match="memory gallery is gone when it is closed"):
        remove_gallery("memory:")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_url_and_a_busy_file_are_refused(lasting: BackEnd, tmp_path: Path) -> None:
    with lasting.open() as gallery:
        gallery.add("Ada", faces(1))
        with pytest.raises(GalleryError, match="read-only"):
            remove_gallery(url_of(lasting, "mode=ro"))
        if isinstance(gallery, SqlGallery):
            with gallery._shelf.database.writing(1), pytest.raises(GalleryLocked):
                remove_gallery(url_of(lasting, "timeout_s=0.2"))
        assert gallery.identities() == [("Ada", 1)]
    shutil.rmtree(tmp_path, ignore_errors=True)
