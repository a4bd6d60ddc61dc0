from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli_running import PROGRAM, Ran, process, run, small, start

import mien
from mien.images.samples import Samples

# A part after every window, so that the first lines come soon.
_HASTY_EMBED = "import mien.cli.embed as e; e._SECONDS_A_PART = 0.0; from mien.cli import main; main()"


@pytest.fixture(scope="module")
def crowd(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of one identity, more than are handled before Ctrl-C comes."""
    folder = tmp_path_factory.mktemp("crowd")
    first = small(samples.biden, folder / "Joe" / "000.jpg", 500)
    for number in range(1, 40):
        os.link(first, folder / "Joe" / f"{number:03d}.jpg")
    return folder


def _interrupted(running: subprocess.Popen[str]) -> Ran:
    """Ctrl-C after the first line."""
    assert running.stdout is not None
    assert running.stderr is not None
    with running:
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        # Not communicate(): it passes over the lines that readline() has fetched along with the first.
        out, err = running.stdout.read(), running.stderr.read()
    return Ran(running.returncode, first + out, err)


def test_standard_output_holds_json_lines_alone(samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "not.jpg").write_text("hello")
    shown = process("detect", "--json", tmp_path / "not.jpg", samples.astronaut)
    assert shown.code == 1
    bad, good = shown.rows
    assert bad["error"]["code"] == "bad_image"
    assert len(good["faces"]) == 1
    assert shown.err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text(samples: Samples, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\n\xc3\xa9.jpg")
    Path(os.fsdecode(path)).write_bytes(samples.biden.read_bytes())
    shown = process("detect", "--json", tmp_path)
    assert os.fsencode(shown.rows[0]["image"]) == path
    assert shown.out.isascii()
    assert process("detect", tmp_path).code == 0


def test_interrupted_enroll_stored_what_it_printed(crowd: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    shown = _interrupted(start("enroll", "--json", crowd, "--gallery", url, env={**os.environ, "MIEN_BATCH": "2"}))
    assert shown.code == 130
    assert "interrupted" in shown.err
    assert "Traceback" not in shown.err
    with mien.open_gallery(url, create=False) as gallery:
        ids, _ = gallery.templates("Joe")
    assert 0 < len(ids) < 40
    assert [row["template_id"] for row in shown.rows] == ids


def test_interrupted_embed_goes_on(crowd: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    command = [sys.executable, "-c", _HASTY_EMBED, "embed", "--json", str(crowd), "--out", str(out)]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MIEN_BATCH": "2"},
    )
    shown = _interrupted(running)
    assert shown.code == 130
    assert "run the same command again to go on" in shown.err
    assert "Traceback" not in shown.err
    assert not out.exists()
    assert 0 < len(shown.rows) < 40
    again = run("embed", "--json", crowd, "--out", out)
    assert again.code == 0
    assert again.rows[-1]["held"] == len(shown.rows)
    assert {row["image"] for row in again.rows[:-1]}.isdisjoint(row["image"] for row in shown.rows)
    assert len(set(pq.read_table(out)["image"].to_pylist())) == 40
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_interrupted_detect_is_one_line(crowd: Path) -> None:
    shown = _interrupted(start("detect", "--json", crowd, env={**os.environ, "MIEN_BATCH": "2"}))
    assert shown.code == 130
    assert shown.err.strip() == "interrupted"
    assert len(shown.rows) < 40


def test_a_reader_that_leaves_is_no_fault(crowd: Path) -> None:
    with start("detect", "--json", crowd) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        json.loads(running.stdout.readline())
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that break")
def test_a_reader_of_enrolling_that_leaves(crowd: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    with start("enroll", "--json", crowd, "--gallery", url, env={**os.environ, "MIEN_BATCH": "2"}) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        json.loads(running.stdout.readline())
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["detect", "--json", "{}"], ["detect", "{}"], ["models", "list"]])
def test_a_full_disk_is_told(samples: Samples, arguments: list[str]) -> None:
    command = [*PROGRAM, *(text.format(samples.astronaut) for text in arguments)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: output_error: cannot write standard output")
    assert len(done.stderr.splitlines()) == 1


def test_debug_shows_the_traceback(samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "absent.jpg"
    plain, debug = run("detect", path), run("detect", path, "--debug")
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert plain.code == debug.code == 1


def test_a_bug_is_one_line(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(mien.Recognizer, "iter_detect", broken)
    shown = run("detect", samples.astronaut)
    assert shown.code == 1
    assert shown.err == "error: internal: internal error RuntimeError: two\\nlines; --debug shows where\n"
    (row,) = run("detect", "--json", samples.astronaut).rows
    assert row["error"]["code"] == "internal"
