"""Encrypted galleries: nothing readable on the disk, keys that fit or do not, and rows that someone touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import encrypted_url, faces, postgres_url, sqlite_url, with_options

from mien.errors import BadGallery, BadKey, GalleryError, KeyMissing
from mien.galleries import (
    Gallery,
    NewEnrollment,
    Portraits,
    SqlGallery,
    galleries_at,
    open_gallery,
    parse_url,
    require_free,
)
from mien.matching import encode

OTHER_KEY = "a1" * 32
NAME, TAG, PICTURE = "Ada Lovelace of Somewhere", "a telling tag", b"\xff\xd8 a picture of Ada, wide enough \xff\xd9"
LANDMARKS = np.linspace(1, 99, 10, dtype=np.float32).reshape(1, 5, 2)


def fill(gallery: Gallery) -> None:
    gallery.add(NAME, faces(1, dimension=64), tags=[TAG], portraits=Portraits([PICTURE], LANDMARKS))
    gallery.add_many([(f"person {i}", faces(1, seed=i, dimension=64)) for i in range(1, 20)])


def opened(url: str) -> SqlGallery:
    gallery = open_gallery(url)
    assert isinstance(gallery, SqlGallery)
    return gallery


def touch(folder: Path, statement: str) -> None:
    """Change the file behind mien's back."""

    def flipped(data: bytes, place: int) -> bytes:
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    with closing(sqlite3.connect(folder / "people.db", isolation_level=None)) as connection:
        connection.create_function("flipped", 2, flipped)
        connection.execute(statement)


def secret_of(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "people.db")) as connection:
        return bytes(connection.execute("SELECT secret FROM galleries").fetchone()[0])


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.name.startswith("people.db"))


@pytest.mark.parametrize("codec", ["float32", "int8", "int8-only"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_nothing_readable_is_on_the_disk(tmp_path: Path, codec: str, encrypted: bool) -> None:
    base = encrypted_url(tmp_path) if encrypted else sqlite_url(tmp_path)
    with opened(with_options(base, f"codec={codec}&portraits=yes&audit=all")) as gallery:
        fill(gallery)
        gallery.search(faces(1, dimension=64))
        content = content_of(tmp_path)
    content += content_of(tmp_path)
    stored = encode(faces(1, dimension=64).vectors, codec).tobytes()  # type: ignore[arg-type]
    traces = [NAME.encode(), TAG.encode(), PICTURE, LANDMARKS.tobytes(), stored, stored[:12], b"person 7"]
    assert [trace in content for trace in traces] == [not encrypted] * len(traces)


def test_it_works_like_any_other_gallery(tmp_path: Path) -> None:
    url = with_options(encrypted_url(tmp_path), "portraits=yes")
    with opened(url) as gallery:
        fill(gallery)
    with opened(url) as gallery:
        assert gallery.options.encrypted
        assert gallery.identities()[0] == (NAME, 1)
        assert gallery.tags(NAME) == [TAG]
        assert [m.identity for m in gallery.search(faces(1, dimension=64), tags=[TAG], top=5)[0]] == [NAME]
        assert [m.identity for m in gallery.search(faces(1, dimension=64), identities=[NAME])[0]] == [NAME]
        (block,) = gallery.blocks(portraits=True)
        assert block.pictures is not None
        assert block.pictures[0] == PICTURE
        assert block.landmarks is not None
        assert np.array_equal(block.landmarks[0], LANDMARKS[0])
        assert gallery.check() == []
        gallery.compact()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "people.db"]


def test_the_key_may_stand_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{sqlite_url(tmp_path)}?encrypted=yes"
    monkeypatch.delenv("MIEN_GALLERY_KEY", raising=False)
    with pytest.raises(KeyMissing, match=r"key_file=PATH.*MIEN_GALLERY_KEY"):
        open_gallery(url)
    monkeypatch.setenv("MIEN_GALLERY_KEY", OTHER_KEY)
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(1))
    with open_gallery(sqlite_url(tmp_path)) as gallery:
        assert gallery.options.encrypted
    monkeypatch.delenv("MIEN_GALLERY_KEY")
    with pytest.raises(KeyMissing):
        open_gallery(sqlite_url(tmp_path))


def test_without_a_key_no_gallery_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIEN_GALLERY_KEY", raising=False)
    for options in ("encrypted=yes", f"encrypted=yes&key_file={tmp_path / 'missing'}"):
        with pytest.raises(KeyMissing):
            open_gallery(f"{sqlite_url(tmp_path)}?{options}")
        with pytest.raises(KeyMissing):
            require_free(parse_url(f"{sqlite_url(tmp_path)}?{options}"))
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "short").write_text("5c")
    with pytest.raises(BadKey):
        open_gallery(f"{sqlite_url(tmp_path)}?encrypted=yes&key_file={tmp_path / 'short'}")
    with pytest.raises(BadGallery, match="no gallery at"):
        open_gallery(sqlite_url(tmp_path), create=False)
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


def test_a_key_for_a_gallery_that_is_not_encrypted_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(OTHER_KEY)
    plain, keyed = sqlite_url(tmp_path), f"{sqlite_url(tmp_path)}?key_file={tmp_path / 'key'}"
    refused = pytest.raises(
        BadGallery, match="a key is given but the gallery is not encrypted: add encrypted=yes / --encrypted"
    )
    for url in (keyed, f"{keyed}&encrypted=no"):
        with refused:
            open_gallery(url)
        with refused:
            require_free(parse_url(url))
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    with open_gallery(plain) as gallery:
        gallery.add("Ada", faces(1))
    for create in (True, False):
        with refused:
            open_gallery(keyed, create=create)
    with refused:
        open_gallery(f"{keyed}&name=other")
    assert [summary.name for summary in galleries_at(plain)] == ["default"]
    assert [summary.name for summary in galleries_at(keyed)] == ["default"]
    # The variable may be meant for another gallery.
    monkeypatch.setenv("MIEN_GALLERY_KEY", OTHER_KEY)
    with open_gallery(plain) as gallery:
        assert len(gallery) == 1
    with open_gallery(f"{keyed}&name=secret&encrypted=yes") as gallery:
        gallery.add("Ada", faces(1))
    with open_gallery(f"{keyed}&name=secret") as gallery:
        assert len(gallery) == 1


@pytest.mark.parametrize("key", [OTHER_KEY, "5c" * 31 + "5d"])
def test_a_wrong_key_is_said_to_be_one(tmp_path: Path, key: str) -> None:
    url = encrypted_url(tmp_path)
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(1))
    (tmp_path / "key").write_text(key)
    with pytest.raises(BadKey, match=r"people\.db, gallery 'default': this is not the key"):
        open_gallery(url)
    (tmp_path / "key").write_text("short")
    with pytest.raises(BadKey):
        open_gallery(url)


def test_another_key(tmp_path: Path) -> None:
    url = encrypted_url(tmp_path)
    other = tmp_path / "other key"
    other.write_text(OTHER_KEY)
    with opened(url) as gallery, opened(url) as meanwhile:
        fill(gallery)
        former = secret_of(tmp_path)
        gallery.rotate_key(bytes.fromhex(OTHER_KEY))
        gallery.add("Bob", faces(1, seed=50, dimension=64))
        assert meanwhile.search(faces(1, dimension=64))[0][0].identity == NAME
        assert [e.action for e in gallery.audit_log()][-2:] == ["rotate_key", "enroll"]
        with pytest.raises(BadKey, match="32 bytes"):
            gallery.rotate_key(b"short")
    with pytest.raises(BadKey):
        open_gallery(url)
    with opened(f"{sqlite_url(tmp_path)}?key_file={other}") as gallery:
        assert gallery.search(faces(1, dimension=64))[0][0].identity == NAME
        assert gallery.check() == []
    assert secret_of(tmp_path) != former
    assert former not in content_of(tmp_path)


def test_only_an_encrypted_gallery_has_a_key(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as gallery, pytest.raises(GalleryError, match="is not encrypted"):
        gallery.rotate_key(bytes(32))
    with pytest.raises(BadGallery, match="made with encrypted=no, the URL says yes"):
        open_gallery(encrypted_url(tmp_path))


TOUCHED = {
    "a byte of a vector": "UPDATE templates SET vector = flipped(vector, 40) WHERE id = 3",
    "text that is none": "UPDATE templates SET vector = vector || 'x' WHERE id = 3",
    "two vectors swapped": "UPDATE templates SET vector = (SELECT vector FROM templates o WHERE o.id = 7 - "
    "templates.id) WHERE id IN (3, 4)",
    "a template given to another": "UPDATE templates SET identity_id = 9 WHERE id = 3",
    "a vector cut short": "UPDATE templates SET vector = substr(vector, 1, 20) WHERE id = 3",
    "an empty vector": "UPDATE templates SET vector = x'' WHERE id = 3",
    "text for a vector": "UPDATE templates SET vector = 'text' WHERE id = 3",
    "another space": "UPDATE galleries SET space = 'other@1'",
}
NAMES_TOUCHED = {
    "two names swapped": "UPDATE identities SET sealed = (SELECT sealed FROM identities o WHERE o.id = 7 - "
    "identities.id) WHERE id IN (3, 4)",
    "a name gone": "UPDATE identities SET sealed = NULL WHERE id = 3",
    "a byte of a name": "UPDATE identities SET sealed = flipped(sealed, 3) WHERE id = 3",
}


@pytest.mark.parametrize("statement", TOUCHED.values(), ids=list(TOUCHED))
def test_touched_templates_are_found(tmp_path: Path, statement: str) -> None:
    url = encrypted_url(tmp_path)
    with opened(url) as gallery:
        fill(gallery)
    touch(tmp_path, statement)
    with opened(url) as gallery:
        assert gallery.check()
        space = gallery.space
        assert space is not None
        with pytest.raises(BadGallery, match=r"people\.db"):
            gallery.search(faces(1, dimension=64, space=space))


@pytest.mark.parametrize("statement", NAMES_TOUCHED.values(), ids=list(NAMES_TOUCHED))
def test_touched_names_are_found(tmp_path: Path, statement: str) -> None:
    url = encrypted_url(tmp_path)
    with opened(url) as gallery:
        fill(gallery)
    touch(tmp_path, statement)
    with opened(url) as gallery:
        assert gallery.check()
        with pytest.raises(BadGallery):
            gallery.identities()
        with pytest.raises(BadGallery):
            gallery.search(faces(1, dimension=64), top=20)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tags SET sealed = (SELECT sealed FROM tags o WHERE o.tag <> tags.tag)",
        "UPDATE tags SET identity_id = 2",
        "UPDATE portraits SET picture = x'00'",
        "UPDATE portraits SET landmarks = picture",
        "UPDATE portraits SET template_id = 2",
        "UPDATE identities SET name = 'abc' WHERE id = 5",
    ],
)
def test_touched_tags_and_portraits_are_found_by_a_check(tmp_path: Path, statement: str) -> None:
    url = with_options(encrypted_url(tmp_path), "portraits=yes")
    with opened(url) as gallery:
        fill(gallery)
        gallery.add_many([NewEnrollment(NAME, faces(1, seed=60, dimension=64), ["another tag"])])
        assert gallery.check() == []
    touch(tmp_path, statement)
    with opened(url) as gallery:
        assert gallery.check()


def test_a_secret_that_was_taken_away_or_damaged(tmp_path: Path) -> None:
    url = encrypted_url(tmp_path)
    with opened(url) as gallery:
        fill(gallery)
    for statement, reason in (
        ("UPDATE galleries SET secret = flipped(secret, 60)", "damaged"),
        ("UPDATE galleries SET secret = x'01'", "damaged"),
        ("UPDATE galleries SET secret = NULL", "damaged"),
    ):
        touch(tmp_path, statement)
        with pytest.raises(BadGallery, match=reason):
            open_gallery(url)


def test_postgresql_has_nothing_readable_either(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(OTHER_KEY)
    url = with_options(postgres_url(tmp_path), f"encrypted=yes&portraits=yes&key_file={tmp_path / 'key'}")
    with opened(url) as gallery:
        fill(gallery)
        with gallery._shelf.database.reading() as session:
            rows = [
                row
                for table in ("identities", "tags", "templates", "portraits", "audit")
                for row in session.execute(f"SELECT * FROM {table}")
            ]
        text = str(rows)
        assert len(rows) > 40
        assert NAME not in text
        assert TAG not in text
        assert not any(PICTURE in value for row in rows for value in row if isinstance(value, bytes))
        assert gallery.search(faces(1, dimension=64))[0][0].identity == NAME
