"""Gallery URLs, good and bad."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mien.errors import BadGallery, MissingExtra
from mien.galleries import GalleryUrl, open_gallery, parse_url
from mien.galleries.urls import without_password


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory:", {"scheme": "memory"}),
        ("memory:?name=staff", {"scheme": "memory", "name": "staff"}),
        ("sqlite:///people.db", {"path": "people.db"}),
        ("SQLite:///people.db", {"path": "people.db"}),
        ("sqlite:////srv/people.db", {"path": "/srv/people.db"}),
        ("sqlite:///a%20b%3F.db", {"path": "a b?.db"}),
        ("sqlite:///a#b.db", {"path": "a#b.db"}),
        (
            "sqlite:///p.db?name=the%20staff&timeout_s=0.5&mode=ro",
            {"name": "the staff", "timeout_s": 0.5, "mode": "ro"},
        ),
        ("sqlite:///p.db?timeout_s=0", {"timeout_s": 0.0}),
        (
            "sqlite:///p.db?codec=int8&fusion=mean&encrypted=yes&retention_days=1.5&actor=Ada&key_file=/etc/key",
            {
                "named": {"codec": "int8", "fusion": "mean", "encrypted": True, "retention_days": 1.5},
                "actor": "Ada",
                "key_file": "/etc/key",
            },
        ),
        (
            "postgres://us%40er:p%3Aw@host:5433/the%20db?engine=pgvector&sslmode=require&name=staff",
            {
                **{"scheme": "postgresql", "host": "host", "port": 5433, "user": "us@er", "password": "p:w"},
                **{"database": "the db", "engine": "pgvector", "libpq": {"sslmode": "require"}, "name": "staff"},
            },
        ),
        ("postgresql:///db?host=/run/pg", {"host": "", "port": None, "user": None, "libpq": {"host": "/run/pg"}}),
        ("postgresql://[::1]:5432/db", {"host": "::1", "port": 5432}),
        ("milvus://root:pw@host:19530/db?tls=yes&index=hnsw", {"user": "root", "tls": True, "index": "HNSW"}),
        ("milvus:///people.db", {"path": "people.db", "host": ""}),
        ("sqlite:///p.db?", {"path": "p.db", "name": "default", "timeout_s": 5.0, "mode": "rw"}),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: dict[str, Any]) -> None:
    parsed = parse_url(url)
    assert isinstance(parsed, GalleryUrl)
    assert parsed.url == url
    assert {key: getattr(parsed, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("people.db", "expected a gallery URL, memory:, sqlite:///people.db, postgresql://host/database or milvus:"),
        ("", "expected a gallery URL"),
        ("mysql://host/db", "expected a gallery URL, .* got 'mysql://host/db'"),
        ("C:/people.db", "expected a gallery URL"),
        ("postgresql:host/db", "expected postgresql://host:port/database"),
        ("postgresql://host:x/db", "expected a port number"),
        ("postgresql://host:0/db", "expected a port number"),
        ("postgresql://host:70000/db", "expected a port number"),
        ("postgresql://host/db?engine=faiss", "engine: expected ram or pgvector, got 'faiss'"),
        ("postgresql://host/db?tls=yes", "unknown option 'tls'"),
        ("milvus://host?engine=ram", "unknown option 'engine'"),
        ("milvus://host?index=btree", "index: expected FLAT or HNSW or IVF_SQ8, got 'BTREE'"),
        ("milvus:///", "expected milvus:///people.db"),
        ("sqlite:///p.db?codec=int4", "codec: expected float32, int8 or int8-only, got 'int4'"),
        ("sqlite:///p.db?fusion=sum", "fusion: expected max or mean, got 'sum'"),
        ("sqlite:///p.db?audit=some", "audit: expected off, changes or all, got 'some'"),
        ("sqlite:///p.db?encrypted=maybe", "encrypted: expected yes or no, got 'maybe'"),
        ("sqlite:///p.db?retention_days=0", "retention_days: expected more than 0"),
        ("sqlite:///p.db?retention_days=nan", "retention_days: expected more than 0"),
        ("sqlite:///p.db?audit_days=-1", "audit_days: expected more than 0"),
        ("sqlite:///p.db?actor=a%0Ab", "actor: character 1 is a control character"),
        ("memory:?audit=all", "a memory gallery has no audit"),
        ("memory:?encrypted=yes", "a memory gallery has no encrypted"),
        ("memory:people", "a memory gallery has no path"),
        ("memory:?timeout_s=1", "memory galleries know audit, audit_days, codec, encrypted, fusion, name"),
        ("sqlite://people.db", "expected sqlite:///people.db"),
        ("sqlite:people.db", "expected sqlite:///people.db"),
        ("sqlite:///", "expected sqlite:///people.db"),
        ("sqlite:////", "expected sqlite:///people.db"),
        ("sqlite:///a%00b", "expected sqlite:///people.db"),
        ("sqlite:///p.db?nmae=staff", "unknown option 'nmae'.*know actor, .*, name, .*, timeout_s"),
        ("sqlite:///p.db?name", "unknown option 'name'"),
        ("sqlite:///p.db?name=a&name=b", "given twice"),
        ("sqlite:///p.db?name=", "expected a name, got ''"),
        ("sqlite:///p.db?name=a%0Ab", "control character"),
        ("sqlite:///p.db?mode=rwc", "mode: expected rw or ro, got 'rwc'"),
        ("sqlite:///p.db?timeout_s=soon", "timeout_s: expected 0 to 86400 seconds, got 'soon'"),
        ("sqlite:///p.db?timeout_s=nan", "timeout_s: expected"),
        ("sqlite:///p.db?timeout_s=-1", "timeout_s: expected"),
        (None, "got NoneType"),
    ],
)
def test_a_bad_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(BadGallery, match=reason):
        open_gallery(url)


def test_a_memory_gallery_is_new_each_time() -> None:
    with open_gallery("memory:?name=staff", create=False) as gallery:
        assert gallery.name == "staff"


SECRETS = [
    "postgresql://ada:s3cret@host:5432/db?name=staff",
    "postgresql://ada:s3cret@[::1]/db?codec=int9",
    "postgres://ada:s3cret@host/db?nmae=staff",
    "postgresql://ada:p@s3cret@host/db?mode=x",
    "postgresql://ada:s3cret@host:port/db",
    "postgresql://ada:s3cret",
    "postgresql://ada:x/s3cret@host/db",
    "postgresql://ada:x?s3cret@host/db",
    "postgresql://ada:x#s3cret@host/db?engine=",
    "postgresql:///db?password=s3cret&name=staff",
    "postgresql:///db?name=a&password=s3cret",
    "mysql://ada:s3cret@host/db",
    "milvus://root:s3cret@host:19530?timeout_s=soon",
    "milvus://root:s3cret@host:19530/db?encrypted=7",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_never_shown(url: str) -> None:
    assert "s3cret" not in without_password(url)
    told = [without_password(url)]
    try:
        parsed = parse_url(url)
        told += [repr(parsed), parsed.shown, parsed.place]
    except BadGallery as error:
        told += [str(error), repr(error.__cause__)]
    assert not any("s3cret" in text for text in told)


@pytest.mark.parametrize("url", ["memory:?name=a:b@c", "sqlite:////srv/a:b@c.db", "sqlite:///x.db?actor=a:b@c"])
def test_nothing_is_masked_where_no_password_can_be(url: str) -> None:
    assert without_password(url) == url


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, url, extra in (
        ("psycopg", "postgresql://127.0.0.1:1/db", "postgres"),
        ("pymilvus", "milvus://127.0.0.1:1", "milvus"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtra, match=rf"pip install 'mien\[{extra}\]'"):
            open_gallery(url)
