from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from cli_running import needs_terminal, run, terminal

import mien
from mien.types import Templates

SPACE = "test@00000000"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    random = np.random.default_rng(0)
    with mien.open_gallery(f"sqlite:///{path}?actor=grace") as gallery:
        for k in range(40):
            gallery.add(f"person {k:02}", Templates.normalized(random.standard_normal((3, 16)), SPACE))
    return path


def test_audit(path: Path) -> None:
    url = f"sqlite:///{path}"
    run("gallery", "remove", "--gallery", f"{url}?actor=bo", "--identity", "person 00", "--yes")
    rows = run("gallery", "audit", "--json", "--gallery", url).rows
    assert {row["action"] for row in rows} == {"enroll", "remove"}
    assert {row["actor"] for row in rows if row["action"] == "enroll"} == {"grace"}
    removed = [row for row in rows if row["action"] == "remove"]
    assert [(row["actor"], row["identity"], row["identity_id"]) for row in removed] == [("bo", None, 1)]
    assert all(row["identity"] is None for row in rows if row["identity_id"] == 1)
    age = datetime.now(timezone.utc) - datetime.fromisoformat(rows[0]["time"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    one = run("gallery", "audit", "--json", "--gallery", url, "--identity", "person 07").rows
    assert {row["identity"] for row in one} == {"person 07"}
    shown = run("gallery", "audit", "--gallery", url)
    assert "grace" in shown.out
    assert "person 07" in shown.out


def test_audit_of_a_time(path: Path) -> None:
    url = f"sqlite:///{path}"
    count = len(run("gallery", "audit", "--json", "--gallery", url).rows)
    tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).date().isoformat()
    assert run("gallery", "audit", "--json", "--gallery", url, "--since", tomorrow).rows == []
    for option, value in (
        ("--until", tomorrow),
        ("--since", "2020-01-31T08:00+01:00"),
        ("--since", "2020-01-31T08:00Z"),
    ):
        assert len(run("gallery", "audit", "--json", "--gallery", url, option, value).rows) == count
    assert run("gallery", "audit", "--gallery", url, "--since", "yesterday").code == 2


def test_audit_of_nothing_says_why(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{path}"
    assert run("gallery", "audit", "--gallery", url).err == ""
    for arguments, why in (
        (("--identity", "Nobody"), "nobody named Nobody is enrolled"),
        (("--since", "2099-01-01"), "has nothing from that time"),
        (("--identity", "person 07", "--until", "2001-01-01"), "has nothing about person 07 from that time"),
    ):
        shown = run("gallery", "audit", "--gallery", url, *arguments)
        assert (shown.code, shown.out) == (0, "")
        assert why in shown.err
    off = f"sqlite:///{tmp_path}/off.db?audit=off"
    with mien.open_gallery(off) as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0]], SPACE))
    shown = run("gallery", "audit", "--json", "--gallery", off)
    assert (shown.code, shown.out) == (0, "")
    assert "the audit of default is off" in shown.err
    empty = f"sqlite:///{tmp_path}/off.db?name=empty"
    with mien.open_gallery(empty):
        pass
    assert "the log of empty has nothing\n" in run("gallery", "audit", "--gallery", empty).err
    assert run("gallery", "audit", "--gallery", url, "--identity", "").code == 2


@needs_terminal
def test_audit_fits_a_terminal(path: Path) -> None:
    shown = terminal("gallery", "audit", "--gallery", f"sqlite:///{path}", "--identity", "person 07", columns=80).out
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("grace", "enroll", "templates=3", datetime.now(timezone.utc).strftime("%Y-%m-")):
        assert text in shown


def test_measures_of_codec_loss_need_it(path: Path) -> None:
    for option, value in (("--threshold", 0.3), ("--probes", 7)):
        shown = run("gallery", "check", "--gallery", f"sqlite:///{path}", option, value)
        assert shown.code == 2
        assert option in shown.err


@needs_terminal
@pytest.mark.parametrize("arguments", [("check",), ("check", "--codec-loss"), ("compact",)])
def test_long_work_shows_a_bar(path: Path, arguments: tuple[str, ...]) -> None:
    shown = terminal("gallery", *arguments, "--gallery", f"sqlite:///{path}").out
    assert "━" in shown
    assert arguments[-1].lstrip("-") in shown
    quiet = terminal("gallery", *arguments, "--json", "--gallery", f"sqlite:///{path}").out
    assert "━" not in quiet


def test_check_finds_nothing(path: Path) -> None:
    sound = run("gallery", "check", "--json", "--gallery", f"sqlite:///{path}")
    assert sound.code == 0
    facts = {"gallery": f"sqlite:///{path}", "templates": 120, "faults": 0, "target": None, "migrated": None}
    assert sound.rows == [facts]
    assert "sound" in run("gallery", "check", "--gallery", f"sqlite:///{path}").out


def _tamper(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE templates SET vector = zeroblob(64) WHERE id = 5",
        "UPDATE templates SET vector = zeroblob(63) WHERE id = 5",
        "UPDATE templates SET identity_id = 9999 WHERE id = 5",
        "INSERT INTO identities (gallery_id, id, name) VALUES (1, 7777, 'nobody')",
        "UPDATE galleries SET last_template = 3",
    ],
)
def test_check_finds_what_is_wrong(path: Path, sql: str) -> None:
    _tamper(path, sql)
    found = run("gallery", "check", "--json", "--gallery", f"sqlite:///{path}")
    assert found.code == 1
    assert set(found.errors) == {"bad_gallery"}
    assert found.rows[-1]["faults"] == len(found.errors) > 0


def test_check_finds_a_swapped_secret(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    path = tmp_path / "secret.db"
    url = f"sqlite:///{path}?encrypted=yes&key_file={key}"
    with mien.open_gallery(url) as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0], [1, 1]], SPACE))
    assert run("gallery", "check", "--gallery", url).code == 0
    _tamper(path, "UPDATE templates SET vector = (SELECT vector FROM templates WHERE id = 1) WHERE id = 2")
    assert run("gallery", "check", "--json", "--gallery", url).errors == ["bad_gallery"]


def test_codec_loss(path: Path) -> None:
    url = f"sqlite:///{path}"
    (row,) = run("gallery", "check", "--json", "--gallery", url, "--codec-loss", "--threshold", 0.3).rows
    assert (row["probes"], row["comparisons"], row["threshold"]) == (120, 120 * 117, 0.3)
    assert 0 < row["mean_error"] < row["largest_error"] < 0.02
    (row,) = run("gallery", "check", "--json", "--gallery", url, "--codec-loss", "--probes", 5).rows
    assert (row["probes"], row["threshold"], row["decisions_changed"]) == (5, None, None)
    assert "largest difference of a score" in run("gallery", "check", "--gallery", url, "--codec-loss").out


def test_compact(path: Path) -> None:
    url = f"sqlite:///{path}"
    with mien.open_gallery(url) as gallery:
        gallery.add("many", Templates.normalized(np.random.default_rng(1).standard_normal((5000, 16)), SPACE))
        gallery.remove_identity("many")
    (row,) = run("gallery", "compact", "--json", "--gallery", url).rows
    assert row["bytes_after"] < row["bytes_before"] / 2
    assert run("gallery", "show", "--json", "--gallery", url).rows[0]["templates"] == 120
    index = path.with_name("people.db.1.index")
    assert (row["index"], row["index_bytes"]) == (str(index), index.stat().st_size)
    shown = run("gallery", "compact", "--gallery", url).out
    assert "compacted" in shown
    assert f"index {index}, {index.stat().st_size} bytes" in shown
    (row,) = run("gallery", "compact", "--json", "--gallery", url, "--no-snapshot").rows
    assert (row["index"], row["index_bytes"]) == (None, None)


def test_compact_names_the_index_of_this_gallery(path: Path) -> None:
    url = f"sqlite:///{path}"
    with mien.open_gallery(f"{url}?name=other") as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0]], SPACE))
    run("gallery", "compact", "--gallery", url)
    (row,) = run("gallery", "compact", "--json", "--gallery", f"{url}?name=other").rows
    assert row["index"] == f"{path}.2.index"


def test_rotate_key(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    old.write_text("11" * 32)
    new.write_text("22" * 32)
    url = f"sqlite:///{tmp_path}/secret.db"
    with mien.open_gallery(f"{url}?encrypted=yes&key_file={old}") as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0]], SPACE))
    assert run("gallery", "rotate-key", "--gallery", url, "--new-key-file", tmp_path / "absent").code == 2
    turned = run("gallery", "rotate-key", "--json", "--gallery", f"{url}?key_file={old}", "--new-key-file", new)
    assert turned.rows[0]["rotated"] is True
    assert run("gallery", "show", "--json", "--gallery", f"{url}?key_file={old}").errors == ["bad_key"]
    monkeypatch.setenv("MIEN_GALLERY_KEY", "22" * 32)
    assert run("gallery", "show", "--json", "--gallery", url).rows[1] == {"identity": "Ada", "templates": 1}
    plain = run("gallery", "rotate-key", "--json", "--gallery", f"sqlite:///{path}", "--new-key-file", new)
    assert plain.errors == ["gallery_error"]
    short = tmp_path / "short.key"
    short.write_text("11")
    assert run("gallery", "rotate-key", "--json", "--gallery", url, "--new-key-file", short).errors == ["bad_key"]


def test_what_a_memory_gallery_cannot() -> None:
    for name in ("audit", "check", "compact"):
        assert run("gallery", name, "--json", "--gallery", "memory:").errors == ["gallery_error"]


def test_retention(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/short.db"
    made = run("gallery", "create", "--gallery", url, "--retention-days", 0.2 / 86_400)
    assert made.code == 0
    with mien.open_gallery(url) as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0]], SPACE))
    time.sleep(0.3)
    assert run("gallery", "show", "--json", "--gallery", url).rows[0]["templates"] == 0
