from __future__ import annotations

from pathlib import Path

import pytest
from cli_running import run

import mien
from mien.types import Templates

PLAIN = {
    "codec": "float32",
    "fusion": "max",
    "portraits": False,
    "audit": "changes",
    "audit_days": None,
    "retention_days": None,
    "encrypted": False,
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/people.db"
    with mien.open_gallery(url) as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0], [1, 1]], "test@00000000"), tags=["staff", "day"])
        gallery.add("Bo", Templates.normalized([[0, 1]], "test@00000000"))
    return url


def test_create(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    options = ["--codec", "int8-only", "--fusion", "mean", "--portraits", "--audit", "all"]
    made = run("gallery", "create", "--json", "--gallery", url, *options, "--audit-days", 30, "--retention-days", 7.5)
    assert made.code == 0
    settled = {**PLAIN, "codec": "int8-only", "fusion": "mean", "portraits": True, "audit": "all"}
    (row,) = made.rows
    assert {**row, "gallery": ""} == {
        "gallery": "",
        "name": "default",
        **settled,
        "audit_days": 30,
        "retention_days": 7.5,
    }
    with mien.open_gallery(url, create=False) as gallery:
        assert gallery.options.codec == "int8-only"
        assert gallery.options.retention_days == 7.5
    staff = run("gallery", "create", "--gallery", f"{url}?name=staff&codec=int8")
    assert "made staff: codec int8, fusion max, audit changes" in staff.out


def test_create_what_cannot_be(url: str, tmp_path: Path) -> None:
    again = run("gallery", "create", "--json", "--gallery", url, "--codec", "int8")
    assert (again.code, again.errors) == (1, ["gallery_error"])
    assert "already" in again.rows[0]["error"]["message"]
    assert run("gallery", "create", "--json", "--gallery", f"{url}?name=b", "--codec", "int9").errors == ["bad_gallery"]
    twice = run("gallery", "create", "--json", "--gallery", f"{url}?name=b&codec=int8", "--codec", "float32")
    assert twice.errors == ["bad_gallery"]
    assert run("gallery", "create", "--gallery", "memory:").code == 2
    assert run("gallery", "create", "--json", "--gallery", f"sqlite:///{tmp_path}/absent/a.db").errors == [
        "bad_gallery"
    ]
    (tmp_path / "text.db").write_text("hello, this is no database at all")
    assert run("gallery", "create", "--json", "--gallery", f"sqlite:///{tmp_path}/text.db").errors == ["bad_gallery"]
    assert (tmp_path / "text.db").read_text().startswith("hello")


def test_create_encrypted(tmp_path: Path) -> None:
    url, key = f"sqlite:///{tmp_path}/secret.db", tmp_path / "a key"
    assert run("gallery", "create", "--json", "--gallery", url, "--encrypted").errors == ["key_missing"]
    key.write_text("00" * 32)
    made = run("gallery", "create", "--json", "--gallery", url, "--encrypted", "--key-file", key)
    assert made.rows[0]["encrypted"] is True
    assert run("gallery", "show", "--json", "--gallery", url).errors == ["key_missing"]
    assert run("gallery", "show", "--gallery", f"{url}?key_file={key}").code == 0


def test_list(url: str) -> None:
    run("gallery", "create", "--gallery", url, "--codec", "int8")
    run("gallery", "create", "--gallery", f"{url}?name=staff", "--codec", "int8", "--retention-days", 30)
    default, staff = run("gallery", "list", "--json", "--gallery", url).rows
    assert default == {
        "name": "default",
        "space": "test@00000000",
        "identities": 2,
        "templates": 3,
        "mapped": 0,
        "portraits": 0,
        "target": None,
        "options": PLAIN,
    }
    assert (staff["name"], staff["space"], staff["templates"]) == ("staff", None, 0)
    assert staff["options"] == {**PLAIN, "codec": "int8", "retention_days": 30}
    shown = run("gallery", "list", "--gallery", url).out
    assert "codec int8, fusion max, audit changes, templates kept for 30 days" in shown


def test_list_of_nothing(tmp_path: Path) -> None:
    assert run("gallery", "list", "--json", "--gallery", f"sqlite:///{tmp_path}/absent.db").errors == ["bad_gallery"]
    assert not (tmp_path / "absent.db").exists()


def test_show(url: str) -> None:
    summary, *people = run("gallery", "show", "--json", "--gallery", url).rows
    assert summary == {
        "gallery": url,
        "name": "default",
        "space": "test@00000000",
        "identities": 2,
        "templates": 3,
        "mapped": 0,
        "options": PLAIN,
    }
    assert people == [{"identity": "Ada", "templates": 2}, {"identity": "Bo", "templates": 1}]
    shown = run("gallery", "show", "--gallery", url)
    assert "Ada" in shown.out
    assert "identities 2, templates 3, space test@00000000; codec float32" in shown.out
    assert run("gallery", "show", "--json", "--gallery", url, "--identity", "Ada").rows == [
        {"identity": "Ada", "template_id": 1, "tags": ["day", "staff"]},
        {"identity": "Ada", "template_id": 2, "tags": ["day", "staff"]},
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
    with mien.open_gallery(url) as gallery:
        assert len(gallery) == 3
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
