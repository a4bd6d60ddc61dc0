"""The examples of docs/client.md, run as they stand against a real server, so that they stay true."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mien.images.samples import Samples

PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"
ADDRESS = "http://127.0.0.1:8080"
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"print\(.*\)  # (.*)$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")


def test_the_examples_hold(server: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    for path in samples.paths:
        shutil.copy(path, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "examples"}
    examples = _PYTHON.findall(PAGE.read_text(encoding="utf-8"))
    assert len(examples) == 5
    for example in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example.replace(ADDRESS, server.url), str(PAGE), "exec"), names)
        lines = printed.getvalue().splitlines()
        for shown in _SHOWN.findall(example):
            alike = [line for line in lines if _NUMBER.sub("#", line) == _NUMBER.sub("#", shown)]
            assert alike, (shown, lines)
            wanted = [float(number) for number in _NUMBER.findall(shown)]
            assert any(
                [float(n) for n in _NUMBER.findall(line)] == pytest.approx(wanted, abs=1.01, rel=0.03) for line in alike
            )
