from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_running import needs_terminal, run, terminal

import mien
from mien.galleries import Migratable
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
    twice = run("gallery", "create", "--gallery", f"{url}?name=b&codec=int8", "--codec", "float32")
    assert twice.code == 2
    assert "--codec" in twice.err
    assert run("gallery", "create", "--gallery", "memory:").code == 2
    assert run("gallery", "create", "--json", "--gallery", f"sqlite:///{tmp_path}/absent/a.db").errors == [
        "bad_gallery"
    ]
    (tmp_path / "text.db").write_text("hello, this is no database at all")
    assert run("gallery", "create", "--json", "--gallery", f"sqlite:///{tmp_path}/text.db").errors == ["bad_gallery"]
    assert (tmp_path / "text.db").read_text().startswith("hello")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--codec", "int4"),
        ("--fusion", "median"),
        ("--audit", "some"),
        ("--retention-days", "0"),
        ("--retention-days", "abc"),
        ("--audit-days", "40000"),
        ("--audit-days", "nan"),
        ("--key-file", "nokey"),
    ],
)
def test_an_option_that_cannot_be_is_wrong_usage(tmp_path: Path, option: str, value: str) -> None:
    ran = run("gallery", "create", "--gallery", f"sqlite:///{tmp_path}/people.db", option, value)
    assert ran.code == 2
    assert option in ran.err
    # Told by the option that was typed, not by a URL that nobody typed.
    assert "sqlite" not in ran.err
    assert not list(tmp_path.iterdir())


def test_create_encrypted(tmp_path: Path) -> None:
    url, key = f"sqlite:///{tmp_path}/secret.db", tmp_path / "a key"
    assert run("gallery", "create", "--json", "--gallery", url, "--encrypted").errors == ["key_missing"]
    key.write_text("00" * 32)
    plain = run("gallery", "create", "--gallery", url, "--key-file", key)
    assert plain.code == 2
    assert "--encrypted" in plain.err
    assert not list(tmp_path.glob("secret.db*"))
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
        "migrated": None,
        "options": PLAIN,
    }
    assert (staff["name"], staff["space"], staff["templates"]) == ("staff", None, 0)
    assert staff["options"] == {**PLAIN, "codec": "int8", "retention_days": 30}
    shown = run("gallery", "list", "--gallery", url).out
    assert "codec int8, fusion max, audit changes, templates kept for 30 days" in shown


@needs_terminal
def test_list_fits_a_terminal(url: str) -> None:
    run("gallery", "create", "--gallery", f"{url}?name=the night shift", "--retention-days", 30, "--portraits")
    shown = terminal("gallery", "list", "--gallery", url, columns=80).out
    assert max(map(len, shown.splitlines())) <= 80
    rows = {line.split("  ")[0].strip(): line.split() for line in shown.splitlines()}
    assert rows["default"][1:5] == ["2", "3", "0", "test@00000000"]
    assert rows["the night shift"][3:8] == ["0", "0", "0", "none", "yet"]
    assert {"30", "days,", "portraits"} <= set(shown.split())


@needs_terminal
def test_a_terminal_too_narrow_for_the_rest_still_gets_all_of_it(url: str) -> None:
    shown = terminal("gallery", "list", "--gallery", url, columns=30).out
    assert "test@00000000" in shown
    assert "default" in shown
    assert "…" not in shown


def test_a_migration_under_way_is_shown(url: str) -> None:
    with mien.open_gallery(url) as gallery:
        assert isinstance(gallery, Migratable)
        gallery.begin_migration("other@11111111", 2)
        gallery.put_pending([(1, np.array([0, 1], np.float32))], target="other@11111111", mapped=False)
    assert "default: migrating to other@11111111: 1 of 3" in run("gallery", "list", "--gallery", url).out
    (row,) = run("gallery", "list", "--json", "--gallery", f"{url}?timeout_s=3&codec=float32").rows
    assert (row["target"], row["migrated"]) == ("other@11111111", 1)
    checked = run("gallery", "check", "--gallery", url)
    assert checked.code == 0
    assert "default: migrating to other@11111111: 1 of 3" in checked.out
    assert run("gallery", "check", "--json", "--gallery", url).rows[0]["migrated"] == 1


def test_a_migration_of_a_locked_gallery_is_shown_without_counts(tmp_path: Path) -> None:
    url, key = f"sqlite:///{tmp_path}/secret.db", tmp_path / "key"
    key.write_text("11" * 32)
    with mien.open_gallery(f"{url}?encrypted=yes&key_file={key}") as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0]], "test@00000000"))
        assert isinstance(gallery, Migratable)
        gallery.begin_migration("other@11111111", 2)
    shown = run("gallery", "list", "--gallery", url)
    assert "default: migrating to other@11111111\n" in shown.out


def test_list_of_nothing(tmp_path: Path) -> None:
    assert run("gallery", "list", "--json", "--gallery", f"sqlite:///{tmp_path}/absent.db").errors == [
        "gallery_not_found"
    ]
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
    assert run("gallery", "show", "--json", "--gallery", f"sqlite:///{tmp_path}/absent.db").errors == [
        "gallery_not_found"
    ]
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
    for command in ("show", "remove"):
        bad = run("gallery", command, "--gallery", url, "--identity", " ")
        assert bad.code == 2
        assert "--identity" in bad.err
    assert "removed Bo" in run("gallery", "remove", "--gallery", url, "--yes", "--identity", "Bo").out


def test_rename(url: str) -> None:
    said = run("gallery", "rename", "Bo", "Cleo", "--gallery", url)
    assert (said.code, said.out.strip()) == (0, "Bo is now Cleo, templates: 1")
    taken = run("gallery", "rename", "Cleo", " Ada ", "--gallery", url, "--json")
    assert (taken.code, taken.errors) == (1, ["identity_exists"])
    assert "--merge" in taken.rows[0]["error"]["message"]
    joined = run("gallery", "rename", "Cleo", " Ada ", "--merge", "--gallery", url, "--json")
    assert joined.rows == [{"identity": "Ada", "former": "Cleo", "templates": 3}]
    with mien.open_gallery(url) as gallery:
        assert gallery.identities() == [("Ada", 3)]
    assert run("gallery", "rename", "Cleo", "Bo", "--gallery", url, "--json").errors == ["identity_not_found"]
    for names, argument in (((" ", "Bo"), "OLD"), (("Ada", "a\nb"), "NEW")):
        unfit = run("gallery", "rename", *names, "--gallery", url)
        assert unfit.code == 2
        assert argument in unfit.err
    absent = run("gallery", "rename", "Ada", "Bo", "--gallery", f"{url}?name=staff", "--json")
    assert absent.errors == ["gallery_not_found"]


def test_delete(url: str, tmp_path: Path) -> None:
    with mien.open_gallery(f"{url}?name=staff") as staff:
        staff.add("Eve", Templates.normalized([[1, 0]], "test@00000000"))
    unasked = run("gallery", "delete", "--gallery", url)
    assert unasked.code == 2
    assert "--yes" in unasked.err
    gone = run("gallery", "delete", "--gallery", url, "--yes", "--json")
    assert (gone.code, gone.rows) == (0, [{"gallery": url, "name": "default", "removed": 3}])
    assert [row["name"] for row in run("gallery", "list", "--gallery", url, "--json").rows] == ["staff"]
    assert run("gallery", "delete", "--gallery", url, "-y", "--json").errors == ["gallery_not_found"]
    said = run("gallery", "delete", "--gallery", f"{url}?name=staff", "-y")
    assert said.out.strip() == "deleted the gallery staff, templates: 1"
    absent = run("gallery", "delete", "--gallery", f"sqlite:///{tmp_path}/absent.db", "-y", "--json")
    assert absent.errors == ["gallery_not_found"]
    assert run("gallery", "delete", "--gallery", "memory:", "-y", "--json").errors == ["bad_gallery"]


@needs_terminal
@pytest.mark.parametrize(("answer", "code", "left"), [(b"\x03", 130, 3), (b"n\n", 1, 3), (b"\n", 1, 3), (b"y\n", 0, 1)])
def test_a_question(url: str, answer: bytes, code: int, left: int) -> None:
    ran = terminal("gallery", "remove", "--gallery", url, "--identity", "Ada", answers={"[y/N]": answer})
    assert ran.code == code
    assert ("interrupted" in ran.out) == (code == 130)
    with mien.open_gallery(url) as gallery:
        assert len(gallery) == left
