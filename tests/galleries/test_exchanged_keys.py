"""In an encrypted gallery nobody is taken for another whose lookup key was exchanged for theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from gallery_cases import encrypted_url, faces

from mien.errors import BadGallery
from mien.galleries import NewEnrollment, SqlGallery, open_gallery


def opened(folder: Path) -> SqlGallery:
    gallery = open_gallery(encrypted_url(folder))
    assert isinstance(gallery, SqlGallery)
    return gallery


def swap(folder: Path, table: str, column: str, id_: str) -> None:
    """Exchange what Ada and Bob are looked up by."""
    with closing(sqlite3.connect(folder / "people.db", isolation_level=None)) as connection:
        query = f"SELECT {column} FROM {table} WHERE {id_} IN (1, 2) ORDER BY {id_}"
        (adas,), (bobs,) = connection.execute(query).fetchall()
        for number, key in ((1, "waiting"), (2, adas), (1, bobs)):
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {id_} = ?", (key, number))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    with opened(tmp_path) as gallery:
        gallery.add_many(
            [NewEnrollment("Ada", faces(1), ["staff"]), NewEnrollment("Bob", faces(1, seed=1), ["banned"])]
        )
        gallery.add("Cleo", faces(1, seed=2))
        assert gallery.search(faces(1), tags=["staff"])[0][0].identity == "Ada"
    return tmp_path


CALLS: dict[str, Callable[[SqlGallery], object]] = {
    "templates": lambda gallery: gallery.templates("Ada"),
    "tags": lambda gallery: gallery.tags("Ada"),
    "enroll": lambda gallery: gallery.add("Ada", faces(1, seed=3)),
    "remove": lambda gallery: gallery.remove_identity("Ada"),
    "set_tags": lambda gallery: gallery.set_tags("Ada", ["day"]),
    "search": lambda gallery: gallery.search(faces(1, seed=1), identities=["Ada"]),
    "identities": lambda gallery: gallery.identities(),
    "export": lambda gallery: gallery.export_identity("Ada"),
    "audit": lambda gallery: list(gallery.audit_log(identity="Ada")),
    "blocks": lambda gallery: list(gallery.blocks()),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_an_exchanged_name_is_found_out(filled: Path, call: Callable[[SqlGallery], object]) -> None:
    swap(filled, "identities", "name", "id")
    with opened(filled) as gallery:
        with pytest.raises(BadGallery, match=r"people\.db.*the key of the identity does not fit its text"):
            call(gallery)
        assert len(gallery) == 3
        assert gallery.check()


@pytest.mark.parametrize("used_before", [False, True])
def test_an_exchanged_tag_is_found_out(filled: Path, used_before: bool) -> None:
    with opened(filled) as gallery:
        if used_before:
            for _ in range(2):
                assert gallery.search(faces(1), tags=["staff"])[0][0].identity == "Ada"
        swap(filled, "tags", "tag", "identity_id")
        with pytest.raises(BadGallery, match="the key of the tag does not fit its text"):
            gallery.search(faces(1, seed=1), tags=["staff"])
        with pytest.raises(BadGallery, match="the key of the tag does not fit its text"):
            gallery.tags("Ada")


def test_a_tag_without_a_seal_is_found_out(filled: Path) -> None:
    with closing(sqlite3.connect(filled / "people.db", isolation_level=None)) as connection:
        connection.execute("UPDATE tags SET sealed = NULL WHERE identity_id = 1")
    with opened(filled) as gallery, pytest.raises(BadGallery, match="its seal does not fit"):
        gallery.search(faces(1), tags=["staff"])
