"""Running the command line in tests: inside this process, which is fast, or as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from mien.cli import app

PROGRAM = [sys.executable, "-m", "mien"]

# Ctrl-C reaches the processes whose controlling terminal it was typed at.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal that a test can make")


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


def terminal(*arguments: object, columns: int = 80, answers: Mapping[str, bytes] | None = None) -> Ran:
    """A process on a terminal of its own, for systems that have those; ``out`` is what the terminal was sent.

    Args:
        arguments: of the command line.
        columns: the terminal's width.
        answers: what is typed as soon as a text is shown; ``b"\\x03"`` is Ctrl-C.
    """
    import fcntl
    import pty
    import struct
    import termios

    waiting = dict(answers) if answers else {}
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    end, terminal_end = pty.openpty()
    fcntl.ioctl(terminal_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # Not pty.fork, of which newer Pythons warn where there are threads.
    command = [sys.executable, "-c", _ON_TERMINAL, *PROGRAM, *(str(a) for a in arguments)]
    with subprocess.Popen(
        command,
        stdin=terminal_end,
        stdout=terminal_end,
        stderr=terminal_end,
        env={**environment, "TERM": "xterm"},
        start_new_session=True,
    ) as running:
        os.close(terminal_end)
        shown = b""
        while part := _read(end):
            shown += part
            for text in [text for text in waiting if text.encode() in shown]:
                os.write(end, waiting.pop(text))
    os.close(end)
    code = running.returncode
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    return Ran(code, plain.replace("\r\n", "\n"), "")


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # what Linux says when the other end is closed
        return b""


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
