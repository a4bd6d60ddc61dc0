"""What an enrollment has returned is there after the process is killed, and nothing half-enrolled is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLING = Path(__file__).with_name("killing.py")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_at_two_hundred_random_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    done = subprocess.run(
        [sys.executable, str(KILLING), url, "200", "1"], check=True, capture_output=True, text=True, timeout=300
    )
    report = json.loads(done.stdout)
    with capsys.disabled():
        sys.stdout.write(f"\nkill test: {report}\n")
    assert report["kills"] == 200
    assert report["wrong"] == []
    # Else the moments were no test: enrollments must have returned, and some must have been cut short.
    assert report["returned"] >= 200
    assert report["under_way"] > 20
