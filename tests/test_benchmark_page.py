"""The page of benchmarks and what remakes it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = """# Figures

<!-- run one: python -c "print('fresh <!-- figures')" -->
old
<!-- end -->

Prose with 42.

<!-- run two: python -c "import sys; print('never'); sys.exit(3)" -->
kept
<!-- end -->
"""


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("remake", ROOT / "benchmarks" / "remake.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["remake"] = found
    spec.loader.exec_module(found)
    return found


def test_the_runs_of_a_page_are_read_in_order() -> None:
    remake = module()
    assert [run.name for run in remake.read_runs(PAGE)] == ["one", "two"]
    with pytest.raises(ValueError, match="two runs are called one"):
        remake.read_runs(PAGE + PAGE.replace("two", "three"))
    with pytest.raises(ValueError, match="no end"):
        remake.read_runs(PAGE + "<!-- run four: python x.py -->\n")


def test_a_run_replaces_its_own_block_alone_and_a_failed_one_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    command = [sys.executable, str(ROOT / "benchmarks" / "remake.py"), "--page", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "two failed with exit code 3" in done.stderr
    text = page.read_text()
    assert "```text\nfresh <!-- figures\n```" in text
    assert "old" not in text
    assert "Prose with 42." in text
    assert "\nkept\n<!-- end -->" in text
    assert text.count("never") == 1


def test_terminal_control_and_overwritten_lines_are_not_kept() -> None:
    remake = module()
    run = remake.read_runs(PAGE)[0]
    made = remake.remade(PAGE, run, "10 %\r20 %\r\x1b[1mdone\x1b[0m\nrow\n", "today:")
    assert "today:\n\n```text\ndone\nrow\n```" in made


def test_every_command_of_the_page_is_there() -> None:
    remake = module()
    runs = remake.read_runs((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))
    assert runs
    for run in runs:
        program, *words = run.command.split()
        assert program in ("python", "mien")
        if program == "python":
            assert (ROOT / words[0]).is_file(), run.command
