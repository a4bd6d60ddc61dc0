"""Running the command line in tests: inside this process, which is fast, or as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from typer.testing import CliRunner

from mien.cli import app

PROGRAM = [sys.executable, "-m", "mien"]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON lines; fails if anything else was printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def errors(self) -> list[str]:
        return [row["error"]["code"] for row in self.rows if "error" in row]


def run(*arguments: object, stdin: str | None = None) -> Ran:
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="mien")
    return Ran(result.exit_code, result.stdout, result.stderr)


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [*PROGRAM, *(str(a) for a in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def process(*arguments: object, **options: Any) -> Ran:
    with start(*arguments, **options) as running:
        out, err = running.communicate(timeout=120)
    return Ran(running.returncode, out, err)


def flat(path: Path) -> Path:
    """An image without a face."""
    Image.new("RGB", (200, 200), (90, 120, 90)).save(path)
    return path


def small(source: Path, path: Path, side: int = 400) -> Path:
    """A photograph made smaller, for tests that need many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        image.thumbnail((side, side))
        image.convert("RGB").save(path)
    return path
