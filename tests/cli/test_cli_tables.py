from __future__ import annotations

import io
import os
import re
import sys

import pytest

from mien.cli.tables import table

WORDS = "codec int8, fusion max, audit changes, templates kept for 30 days"
SPACE = "dlib-resnet@55533b28"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int, columns: list[str], *rows: tuple[str, ...]) -> list[str]:
    monkeypatch.setattr(sys, "stdout", _Terminal())
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in table(columns, rows).splitlines()]


@pytest.mark.parametrize("width", [64, 80, 100, 200])
def test_options_give_way_and_nothing_else(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    columns = ["gallery", "templates", "space", "options"]
    lines = on_a_terminal(monkeypatch, width, columns, ("night shift", "12345678901", SPACE, WORDS))
    assert max(map(len, lines)) <= width
    assert "night shift" in lines[2]
    assert "12345678901" in lines[2]
    assert SPACE in lines[2]
    assert {word for line in lines[2:] for word in line.split()} >= set(WORDS.split())


def test_paths_are_folded_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "photos/" + "x" * 100
    lines = on_a_terminal(monkeypatch, 80, ["image", "face", "score"], (path, "0", "0.912"), ("none",))
    assert max(map(len, lines)) <= 80
    assert lines[2].endswith("0      0.912")
    assert "".join(line.split()[0] for line in lines[2:-1]) == path


def test_what_cannot_give_way_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = on_a_terminal(monkeypatch, 20, ["gallery", "space"], ("a long name of a gallery", SPACE))
    assert lines[2].split("   ") == [" a long name of a gallery", SPACE]


def test_a_file_gets_lines_that_are_not_folded() -> None:
    (_, _, line) = table(["gallery", "options"], [("a", WORDS * 9)]).splitlines()
    assert line == f" a         {WORDS * 9}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_table_is_made_without_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert "ab" in table(["name"], [("ab",)])
        full.flush()
