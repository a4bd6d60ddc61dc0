"""The public contract tried from outside, by the script that lies beside the measuring data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.data
@pytest.mark.slow
def test_the_contract_holds(data_root: Path) -> None:
    script = data_root.parent / "checks" / "run"
    if not script.is_file():
        pytest.skip(f"needs the checks: no {script}")
    command = Path(sys.executable).with_name("mien")
    done = subprocess.run(
        [str(script), sys.executable, str(command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, "\n".join([*lines, done.stderr])
    assert len(lines) >= 7
    assert all(": holds: " in line for line in lines), "\n".join(lines)
