from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_running import run, start

import mien
from mien.galleries import Portraits
from mien.galleries.exchange_npz import write_npz
from mien.galleries.exchange_rows import Block, FileFacts
from mien.types import Templates

SPACE = "test@00000000"


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/people.db"
    with mien.open_gallery(url) as gallery:
        gallery.add("Ada", Templates.normalized([[1, 0], [1, 1]], SPACE), tags=["staff"])
        gallery.add("Bo", Templates.normalized([[0, 1]], SPACE))
    return url


@pytest.mark.parametrize("end", ["parquet", "npz"])
def test_out_and_in(url: str, tmp_path: Path, end: str) -> None:
    out, copy = tmp_path / f"people.{end}", f"sqlite:///{tmp_path}/copy.db?codec=int8"
    went = run("gallery", "export", "--json", "--gallery", url, "--out", out)
    assert went.rows == [{"out": str(out), "templates": 3, "space": SPACE, "codec": "float32"}]
    came = run("gallery", "import", "--json", out, "--gallery", copy)
    none = {"skipped": 0, "repeated": 0, "too_old": 0, "portraits_dropped": 0}
    assert came.rows == [{"file": str(out), "templates": 3, **none, "space": SPACE}]
    assert run("gallery", "import", out, "--gallery", copy).out.startswith(
        f"{out}: templates 0 taken in, 3 there already"
    )
    with mien.open_gallery(copy, create=False) as gallery:
        assert gallery.identities() == [("Ada", 2), ("Bo", 1)]
        assert gallery.tags("Ada") == ["staff"]
    assert sorted(p.name for p in tmp_path.iterdir() if ".db" not in p.name) == [f"people.{end}"]


def test_one_identity(url: str, tmp_path: Path) -> None:
    out = tmp_path / "ada.json"
    ran = run("gallery", "export", "--json", "--gallery", url, "--identity", "Ada", "--out", out)
    assert ran.rows == [{"out": str(out), "identity": "Ada", "templates": 2}]
    held = json.loads(out.read_text(encoding="utf-8"))
    assert held["identity"] == "Ada"
    assert held["tags"] == ["staff"]
    assert held["space"] == SPACE
    assert [t["template_id"] for t in held["templates"]] == [1, 2]
    np.testing.assert_allclose(held["templates"][0]["vector"], [1, 0])
    assert "Bo" not in out.read_text(encoding="utf-8")
    missing = run("gallery", "export", "--json", "--gallery", url, "--identity", "Cy", "--out", tmp_path / "cy.json")
    assert missing.errors == ["identity_not_found"]
    assert not (tmp_path / "cy.json").exists()


def test_wrong_usage(url: str, tmp_path: Path) -> None:
    for arguments in (
        ("export", "--gallery", url, "--out", tmp_path / "a.csv"),
        ("export", "--gallery", url, "--out", tmp_path / "a.json"),
        ("export", "--gallery", url, "--out", tmp_path / "a.npz", "--identity", "Ada"),
        ("export", "--gallery", url, "--out", tmp_path / "a.npz", "--portraits"),
        ("import", "--gallery", url),
    ):
        assert run("gallery", *arguments).code == 2
    blank = run("gallery", "export", "--gallery", url, "--out", tmp_path / "a.json", "--identity", "")
    assert blank.code == 2
    assert "--identity" in blank.err
    nowhere = run("gallery", "export", "--json", "--gallery", url, "--out", tmp_path / "b" / "a.npz")
    assert nowhere.errors == ["output_error"]
    assert "there is no folder" in nowhere.rows[0]["error"]["message"]
    assert not (tmp_path / "b").exists()
    assert run("gallery", "import", "--json", tmp_path / "a.npz", "--gallery", url).errors == ["bad_input"]


def test_a_bad_file_leaves_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("hello")
    copy = tmp_path / "copy.db"
    assert run("gallery", "import", "--json", tmp_path / "bad.npz", "--gallery", f"sqlite:///{copy}").errors == [
        "bad_input"
    ]
    assert not copy.exists()


def test_another_space(url: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    with mien.open_gallery(other) as gallery:
        gallery.add("Cy", Templates.normalized([[0, 1]], "other@11111111"))
    run("gallery", "export", "--gallery", url, "--out", tmp_path / "a.parquet")
    assert run("gallery", "import", "--json", tmp_path / "a.parquet", "--gallery", other).errors == ["space_mismatch"]


def test_a_failed_export_leaves_what_was_there(url: str, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    run("gallery", "export", "--gallery", url, "--out", out)
    before = out.read_bytes()
    with mien.open_gallery(f"{url}?name=empty"):
        pass
    refused = run("gallery", "export", "--json", "--gallery", url, "--out", out)
    assert refused.errors == ["output_error"]
    assert "--overwrite" in refused.rows[0]["error"]["message"]
    failed = run("gallery", "export", "--json", "--gallery", f"{url}?name=empty", "--out", out, "--overwrite")
    assert failed.errors == ["gallery_error"]
    assert out.read_bytes() == before
    assert pq.read_table(out).num_rows == 3
    with mien.open_gallery(url) as gallery:
        gallery.remove_identity("Bo")
    assert run("gallery", "export", "--gallery", url, "--out", out, "--overwrite").code == 0
    assert pq.read_table(out).num_rows == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT and SIGKILL")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_was_stopped_is_gone_on_with(tmp_path: Path, how: signal.Signals) -> None:
    count, file, copy = 100_000, tmp_path / "many.npz", tmp_path / "copy.db"
    made = Templates.normalized(np.random.default_rng(0).standard_normal((count, 16)), SPACE)
    names = [f"person {k // 4}" for k in range(count)]
    block = Block(np.arange(count), names, [()] * count, made.vectors, np.zeros(count), np.zeros(count, bool))
    assert list(write_npz(str(file), FileFacts(SPACE, 16, "float32", count), iter([block]))) == [count]
    url = f"sqlite:///{copy}"
    with start("gallery", "import", "--json", file, "--gallery", url) as running:
        deadline = time.monotonic() + 60
        while not _count(url) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(running.pid, how)
        out, err = running.communicate(timeout=60)
    stored = _count(url)
    assert stored % 20_000 == 0
    if how == signal.SIGINT and stored < count:
        assert (running.returncode, out) == (130, "")
        assert "stopping after the templates in hand" in err
        assert f"interrupted: {stored} templates were taken in and are stored, {count - stored} are left" in err
    again = run("gallery", "import", "--json", file, "--gallery", url).rows[0]
    assert (again["templates"], again["skipped"], again["repeated"]) == (count - stored, stored, 0)
    assert _count(url) == count


def test_what_is_twice_in_the_file_and_what_is_there_already(url: str, tmp_path: Path) -> None:
    vectors = Templates.normalized([[1, 0], [1, 0], [0, 1], [0, 1], [1, 2]], SPACE).vectors
    names, none = ["Ada", "Ada", "Cy", "Cy", "Cy"], np.zeros(5)
    block = Block(np.arange(5), names, [()] * 5, vectors, none, none.astype(bool))
    file = tmp_path / "twice.npz"
    list(write_npz(str(file), FileFacts(SPACE, 2, "float32", 5), iter([block])))
    new = run("gallery", "import", file, "--gallery", f"sqlite:///{tmp_path}/new.db").out
    assert new.startswith(f"{file}: templates 5 taken in (2 of them equal to another in the file), 0 there already")
    old = run("gallery", "import", file, "--gallery", url).out
    assert old.startswith(f"{file}: templates 4 taken in (2 of them equal to another in the file), 1 there already")


def test_portraits_that_are_left_out_are_told(tmp_path: Path) -> None:
    kept, plain = f"sqlite:///{tmp_path}/kept.db?portraits=yes", f"sqlite:///{tmp_path}/plain.db"
    template = Templates.normalized([[1, 0]], SPACE)
    with mien.open_gallery(kept) as gallery:
        gallery.add("Ada", template, portraits=Portraits([b"a JPEG file"], np.zeros((1, 5, 2), np.float32)))
    with mien.open_gallery(plain) as gallery:
        gallery.add("Ada", template)
    out = tmp_path / "kept.parquet"
    went = run("gallery", "export", "--gallery", kept, "--out", out, "--portraits")
    assert (went.code, went.err) == (0, "")
    without = run("gallery", "export", "--gallery", plain, "--out", tmp_path / "plain.parquet", "--portraits")
    assert without.code == 0
    assert "keeps no portraits" in without.err
    came = run("gallery", "import", out, "--gallery", f"sqlite:///{tmp_path}/copy.db")
    assert came.code == 0
    assert "portraits left out: 1, since default was not made to keep them" in came.err
    whole = run("gallery", "import", out, "--gallery", f"sqlite:///{tmp_path}/copy.db?name=with&portraits=yes")
    assert (whole.code, whole.err) == (0, "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_may_not_be_written(url: str, tmp_path: Path) -> None:
    (tmp_path / "ro").mkdir(mode=0o500)
    for name in ("a.npz", "a.parquet"):
        shown = run("gallery", "export", "--gallery", url, "--out", tmp_path / "ro" / name)
        assert shown.err == f"error: output_error: {tmp_path}/ro/{name}: cannot be written: Permission denied\n"


def _count(url: str) -> int:
    try:
        with mien.open_gallery(url, create=False) as gallery:
            return len(gallery)
    except mien.MienError:
        return 0
