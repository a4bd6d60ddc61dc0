"""A virtual environment for each peer, so that none disturbs another or mien.

An environment lives in ``benchmarks/.envs/NAME`` and holds exactly what ``peers/NAME.txt`` pins; it is made on
first use, and again whenever that file or the Python version changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ENVIRONMENTS", "environment"]

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".envs"


def environment(name: str) -> Path:
    """The Python of the peer's environment, made if it is not there or out of date.

    Raises:
        SystemExit: Python is too old for the pinned versions.
        subprocess.CalledProcessError: pip failed; its output is on stderr.
    """
    requirements = HERE / "peers" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    mark = folder / "made-from"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest() + f" {sys.version_info[:2]}"
    if mark.is_file() and mark.read_text() == wanted:
        return python
    if sys.version_info < (3, 11):
        raise SystemExit(f"the versions in {requirements} need Python 3.11 or newer, this is {sys.version.split()[0]}")
    print(f"setting up {folder} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True, stdout=sys.stderr)
    mark.write_text(wanted)
    return python
