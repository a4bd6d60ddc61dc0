from __future__ import annotations

from pathlib import Path

import pytest
from cli_running import run

import mien
from mien.types import Templates


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/people.db"
    with mien.open_gallery(url) as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0], [1, 1]], "test@00000000"))
        gallery.add("Bo", Templates.normalized([[0, 1]], "test@00000000"))
    return url


def test_show(url: str) -> None:
    summary, *people = run("gallery", "show", "--json", "--gallery", url).rows
    assert summary == {
        "gallery": url,
        "name": "default",
        "space": "test@00000000",
        "identities": 2,
        "templates": 3,
    }
    assert people == [{"identity": "Ada", "templates": 2}, {"identity": "Bo", "templates": 1}]
    shown = run("gallery", "show", "--gallery", url)
    assert "Ada" in shown.out
    assert "identities 2, templates 3, space test@00000000" in shown.out
    assert run("gallery", "show", "--json", "--gallery", url, "--identity", "Ada").rows == [
        {"identity": "Ada", "template_id": 1},
        {"identity": "Ada", "template_id": 2},
    ]


def test_show_what_is_not_there(url: str, tmp_path: Path) -> None:
    assert run("gallery", "show", "--json", "--gallery", f"sqlite:///{tmp_path}/absent.db").errors == ["bad_gallery"]
    assert run("gallery", "show", "--json", "--gallery", url, "--identity", "Cy").errors == ["identity_not_found"]


def test_a_memory_gallery_is_empty() -> None:
    shown = run("gallery", "show", "--json", "--gallery", "memory:?name=staff")
    assert (shown.rows[0]["name"], shown.rows[0]["templates"]) == ("staff", 0)
    assert "empty" in shown.err


def test_remove(url: str) -> None:
    assert run("gallery", "remove", "--gallery", url, "--yes").code == 2
    assert run("gallery", "remove", "--gallery", url, "--yes", "--identity", "Ada", "--template", "1").code == 2
    unasked = run("gallery", "remove", "--gallery", url, "--identity", "Ada")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert len(mien.open_gallery(url)) == 3
    one = run("gallery", "remove", "--json", "--gallery", url, "--yes", "--template", "1")
    assert one.rows == [{"template_id": 1, "removed": 1}]
    rest = run("gallery", "remove", "--json", "--gallery", url, "--yes", "--identity", "Ada")
    assert rest.rows == [{"identity": "Ada", "removed": 1}]
    gone = run("gallery", "remove", "--json", "--gallery", url, "--yes", "--identity", "Ada")
    assert (gone.code, gone.errors) == (1, ["identity_not_found"])
    assert run("gallery", "remove", "--json", "--gallery", url, "-y", "--template", "99").errors == [
        "template_not_found"
    ]
    assert "removed Bo" in run("gallery", "remove", "--gallery", url, "--yes", "--identity", "Bo").out
