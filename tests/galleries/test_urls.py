"""Gallery URLs, good and bad."""

from __future__ import annotations

from typing import Any

import pytest

from mien.errors import BadGallery
from mien.galleries import GalleryUrl, open_gallery, parse_url


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
        ("people.db", "expected a gallery URL, memory: or sqlite:///people.db"),
        ("", "expected a gallery URL"),
        ("mysql://host/db", "expected a gallery URL, memory: or sqlite:///people.db, got 'mysql://host/db'"),
        ("C:/people.db", "expected a gallery URL"),
        ("postgresql://host/db", "this version opens memory: and sqlite:///"),
        ("milvus://host", "this version opens memory: and sqlite:///"),
        ("memory:people", "a memory gallery has no path"),
        ("memory:?timeout_s=1", "memory galleries know name"),
        ("sqlite://people.db", "expected sqlite:///people.db"),
        ("sqlite:people.db", "expected sqlite:///people.db"),
        ("sqlite:///", "expected sqlite:///people.db"),
        ("sqlite:////", "expected sqlite:///people.db"),
        ("sqlite:///a%00b", "expected sqlite:///people.db"),
        ("sqlite:///p.db?nmae=staff", "unknown option 'nmae=staff'.*know mode, name, timeout_s"),
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
