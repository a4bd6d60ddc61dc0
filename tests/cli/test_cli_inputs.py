from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_running import flat, run

from mien.cli.inputs import collect, identity_folders, photos_in
from mien.cli.output import Output, printable
from mien.errors import BadInput


def _below(folder: Path) -> list[str]:
    return [photo.below for photo in photos_in(str(folder))]


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c/d.webp", "c/.thumb.jpg", ".git/e.jpg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "c" / "again").symlink_to(tmp_path)
    assert _below(tmp_path) == ["a.png", "b.JPG", os.path.join("c", "d.webp")]


def test_a_linked_image_and_a_linked_folder_count(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "l.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (tmp_path / "here" / "f").symlink_to(tmp_path / "real")
    assert _below(tmp_path / "here") == [os.path.join("f", "a.jpg"), "l.jpg"]


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected images, found none"):
        photos_in(str(tmp_path))
    assert identity_folders(str(tmp_path)) == ([], [])
    shown = run("detect", "--json", tmp_path)
    assert (shown.code, shown.errors) == (1, ["bad_input"])
    assert shown.rows[0]["image"] == str(tmp_path)


def test_patterns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a1.png", "a2.png", "b.png", "[x].png"):
        (tmp_path / name).touch()
    output = Output(False, False)
    found = collect([f"{tmp_path}/a*.png", f"{tmp_path}/[x].png", f"{tmp_path}/q*.png"], output)
    assert [photo.below for photo in found] == ["a1.png", "a2.png", "[x].png"]
    assert output.failed
    assert "bad_input" in capsys.readouterr().err


def test_a_list_on_standard_input(tmp_path: Path) -> None:
    paths = [flat(tmp_path / f"{n}.png") for n in "ab"]
    shown = run("detect", "--json", "-", stdin="".join(f"{p}\n" for p in paths))
    assert [row["image"] for row in shown.rows] == [str(p) for p in paths]


def test_printable_keeps_to_one_line() -> None:
    assert printable("Zoë 拜登") == "Zoë 拜登"
    assert printable("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"
