from __future__ import annotations

from pathlib import Path

from cli_running import run, small

from mien.images import load
from mien.images.samples import Samples


def test_everything_is_measured_and_each_line_says_what(samples: Samples, tmp_path: Path) -> None:
    plot = tmp_path / "threads.png"
    photo = small(samples.obama[0], tmp_path / "obama.jpg")
    options = ("--seconds", 0.05, "--at-once", 2, "--gallery", 500, "--most-threads", 1, "--plot", plot)
    shown = run("bench", photo, "--json", *options)
    assert shown.code == 0, shown.err
    kinds = [row["kind"] for row in shown.rows]
    assert kinds == ["machine", "cold_start", "steps", "search", "threads"]
    machine, start, steps, search, threads = shown.rows
    assert machine["versions"]["numpy"]
    assert start["load_ms"] > 0
    assert list(steps["steps"]) == ["decode", "detect", "align", "embed"]
    assert (steps["faces"], steps["images"]) == (1, 2)
    assert steps["images_per_second"] > 0
    assert search["templates"] == 500
    assert search["template_bytes"] == {"float32": 512, "int8": 132}
    assert threads["n"] == 1
    assert load(plot).std() > 5


def test_the_tables_have_their_own_headings(samples: Samples, tmp_path: Path) -> None:
    photo = small(samples.obama[0], tmp_path / "obama.jpg")
    shown = run("bench", photo, "--seconds", 0.05, "--at-once", 1, "--gallery", 100, "--most-threads", 1)
    assert shown.code == 0, shown.err
    for heading in ("first call", "decode", "search of one probe", "images/s"):
        assert heading in shown.out


def test_a_size_that_is_none_is_wrong_usage() -> None:
    for size in ("640", "0x480", "640x480x3", "-1x5"):
        shown = run("bench", "--size", size)
        assert shown.code == 2
        assert "640x480" in shown.err


def test_a_plot_that_cannot_be_drawn_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    for plot in (tmp_path / "no folder" / "x.png", tmp_path / "x.foo", tmp_path):
        shown = run("bench", tmp_path / "none.jpg", "--json", "--plot", plot)
        assert shown.code == 1
        assert shown.errors == ["output_error"]
        assert len(shown.rows) == 1


def test_an_image_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    shown = run("bench", tmp_path / "none.jpg", "--json")
    assert shown.code == 1
    assert shown.errors == ["bad_image"]
