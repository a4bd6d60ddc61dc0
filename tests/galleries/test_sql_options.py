"""Options are kept with a gallery, and a URL may not contradict them; what is at a place can be listed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, SPACE, encrypted_url, faces, postgres_url, sqlite_url, with_options

from mien.errors import BadGallery, GalleryError
from mien.galleries import (
    GalleryOptions,
    NewEnrollment,
    Portraits,
    SqlGallery,
    galleries_at,
    open_gallery,
    parse_url,
    require_free,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return BACK_ENDS[request.param](tmp_path)


EVERYTHING = {
    "codec": "int8-only",
    "fusion": "mean",
    "portraits": True,
    "audit": "all",
    "audit_days": 90.0,
    "retention_days": 30.5,
    "encrypted": False,
}


def test_options_outlive_closing(url: str) -> None:
    named = "&".join(f"{key}={value}" for key, value in EVERYTHING.items())
    with open_gallery(with_options(url, named.lower())) as gallery:
        assert asdict(gallery.options) == EVERYTHING
    with open_gallery(url) as gallery:
        assert asdict(gallery.options) == EVERYTHING
    with open_gallery(with_options(url, "fusion=mean&portraits=1&retention_days=30.50")) as gallery:
        assert asdict(gallery.options) == EVERYTHING


@pytest.mark.parametrize(
    ("named", "made"),
    [
        ("codec=int8", "codec=float32"),
        ("fusion=mean", "fusion=max"),
        ("portraits=yes", "portraits=no"),
        ("audit=all", "audit=changes"),
        ("retention_days=3", "retention_days=none"),
        ("encrypted=yes", "encrypted=no"),
    ],
)
def test_a_url_that_contradicts_is_refused(url: str, named: str, made: str) -> None:
    open_gallery(url).close()
    with pytest.raises(BadGallery, match=rf"gallery 'default'.*made with {made}, the URL says {named.split('=')[1]}"):
        open_gallery(with_options(url, named))
    same = "" if made.endswith("none") else made
    with open_gallery(with_options(url, same)) as gallery:
        assert gallery.options == GalleryOptions()


@pytest.mark.parametrize("text", ["", "{}x", "[]", '{"codec": "int4"}', '{"unknown": 1}', "null", '{"fusion": 7}'])
def test_damaged_options_are_reported(tmp_path: Path, text: str) -> None:
    open_gallery(sqlite_url(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        connection.execute("UPDATE galleries SET options = ?", (text,))
    with pytest.raises(BadGallery, match="options are damaged"):
        open_gallery(sqlite_url(tmp_path))


def test_all_galleries_of_a_place(url: str) -> None:
    with open_gallery(with_options(url, "name=staff&portraits=yes")) as gallery:
        assert isinstance(gallery, SqlGallery)
        portraits = Portraits([b"\xff\xd8"], np.zeros((1, 5, 2), np.float32))
        gallery.add_many([NewEnrollment("Ada", faces(1), portraits=portraits), ("Bob", faces(2, seed=1))])
        gallery.begin_migration("other@1", 8)
    open_gallery(with_options(url, "name=empty&codec=int8")).close()
    empty, staff = galleries_at(url)
    assert (empty.name, empty.space, empty.dimension, empty.options.codec) == ("empty", None, None, "int8")
    assert (empty.identities, empty.templates, empty.mapped, empty.portraits, empty.target) == (0, 0, 0, 0, None)
    assert (staff.name, staff.space, staff.dimension) == ("staff", SPACE, 16)
    assert (staff.identities, staff.templates, staff.mapped, staff.portraits) == (2, 3, 0, 1)
    assert staff.target == "other@1"


def test_encrypted_galleries_are_listed_without_a_key(tmp_path: Path) -> None:
    with open_gallery(encrypted_url(tmp_path)) as gallery:
        gallery.add("Ada", faces(3))
    (summary,) = galleries_at(sqlite_url(tmp_path))
    assert (summary.identities, summary.templates, summary.options.encrypted) == (1, 3, True)


def test_where_nothing_can_be_listed(tmp_path: Path) -> None:
    with pytest.raises(BadGallery, match="no gallery at"):
        galleries_at(sqlite_url(tmp_path))
    assert not (tmp_path / "people.db").exists()
    with pytest.raises(BadGallery, match="memory keeps no list"):
        galleries_at("memory:")


def test_where_a_gallery_can_be_made(tmp_path: Path) -> None:
    parsed = parse_url(sqlite_url(tmp_path))
    require_free(parsed)
    assert not (tmp_path / "people.db").exists()
    (tmp_path / "people.db").touch()
    require_free(parsed)
    open_gallery(sqlite_url(tmp_path)).close()
    require_free(parse_url(with_options(sqlite_url(tmp_path), "name=staff")))
    (tmp_path / "people.db").write_text("hello " * 1000)
    with pytest.raises(BadGallery, match="not a database"):
        require_free(parsed)
    with pytest.raises(BadGallery, match="does not exist"):
        require_free(parse_url(f"sqlite:///{tmp_path / 'nowhere' / 'people.db'}"))


def test_where_a_gallery_can_be_made_on_a_server(tmp_path: Path) -> None:
    url = postgres_url(tmp_path)
    require_free(parse_url(url))
    with pytest.raises(BadGallery):
        open_gallery(url, create=False)
    open_gallery(url).close()
    require_free(parse_url(with_options(url, "name=staff")))
    with pytest.raises(GalleryError):
        require_free(parse_url("postgresql://127.0.0.1:1/db"))


def test_two_handles_make_one_gallery(url: str) -> None:
    with open_gallery(with_options(url, "codec=int8")) as one, open_gallery(with_options(url, "codec=int8")) as other:
        one.add("Ada", faces(1))
        assert other.identities() == [("Ada", 1)]
    with pytest.raises(BadGallery, match="codec=int8, the URL says float32"):
        open_gallery(with_options(url, "codec=float32"))
