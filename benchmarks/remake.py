"""Remake the figures of docs/benchmarks.md: run the commands that stand in it, and put what they print in its place.

In the page a run is a pair of comments, the first of which holds the command:

    <!-- run accuracy: python benchmarks/accuracy.py -->
    ...
    <!-- end -->

What stands between them is replaced by the date, the machine, how long it took and what was printed. All of the page
takes some hours on two cores; `--only` remakes some of it, and every block keeps its own date and machine. A run that
fails leaves its block as it was, and the exit code is 1; some benchmarks exit with 1 where a target is missed, which is
told in the block and is no failure.

    python benchmarks/remake.py [--only NAME ...] [--list] [--page docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mien.evaluation.machine import describe_machine, describe_versions

__all__ = ["Run", "read_runs", "remade"]

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 118
TARGET_MISSED = 1
_BLOCK = re.compile(r"<!-- run (?P<name>[a-z0-9-]+): (?P<command>[^\n]+?) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|.*\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Run:
    """One command of the page.

    Attributes:
        name: what ``--only`` calls it.
        command: as it stands there.
    """

    name: str
    command: str


def read_runs(page: str) -> list[Run]:
    """The runs of a page, in order.

    Raises:
        ValueError: two have one name, or a comment that begins a run is not followed by one that ends it.
    """
    runs = [Run(found["name"], found["command"]) for found in _BLOCK.finditer(page)]
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two runs are called {', '.join(twice)}")
    if len(runs) != page.count("<!-- run ") or len(runs) != page.count("<!-- end -->"):
        raise ValueError("a run has no end, or an end no run")
    return runs


def remade(page: str, run: Run, printed: str, heading: str) -> str:
    """The page with the block of one run replaced."""

    def block(found: re.Match[str]) -> str:
        if found["name"] != run.name:
            return found[0]
        text = _CONTROL.sub("", printed).strip("\n")
        return f"<!-- run {run.name}: {run.command} -->\n{heading}\n\n```text\n{text}\n```\n<!-- end -->"

    return _BLOCK.sub(block, page)


def _heading(started: datetime, seconds: float) -> str:
    machine, versions = describe_machine(), describe_versions()
    facts = [machine["processor"], f"{machine['cores']} cores", machine.get("vectors", ""), machine.get("memory", "")]
    facts += [f"Python {machine['python']}", *(f"{name} {number}" for name, number in versions.items())]
    told = ", ".join(fact for fact in facts if fact)
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{started:%Y-%m-%d}, {told}, load at start {machine.get('load at start', 'unknown')}, took {took}:"


def main() -> int:
    """Run what was asked for; 0 if every run went through, else 1."""
    parser = argparse.ArgumentParser(description="remake the figures of a page by running the commands in it")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these runs alone")
    parser.add_argument("--list", action="store_true", help="print the runs and stop")
    options = parser.parse_args()
    runs = read_runs(options.page.read_text(encoding="utf-8"))
    unknown = set(options.only or ()) - {run.name for run in runs}
    if unknown:
        parser.error(f"no runs called {', '.join(sorted(unknown))}; there are: {', '.join(run.name for run in runs)}")
    wanted = [run for run in runs if options.only is None or run.name in options.only]
    if options.list:
        for run in wanted:
            print(f"{run.name}\t{run.command}")
        return 0
    failed = []
    for number, run in enumerate(wanted, start=1):
        print(f"{number} of {len(wanted)}: {run.name}: {run.command}", file=sys.stderr, flush=True)
        started, clock = datetime.now(timezone.utc), time.monotonic()
        words = shlex.split(run.command)
        # The commands are written as a user would type them; they run in this very environment.
        words[0] = {"python": sys.executable, "mien": str(Path(sys.executable).with_name("mien"))}.get(
            words[0], words[0]
        )
        environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode not in (0, TARGET_MISSED) or not done.stdout.strip():
            failed.append(run.name)
            print(f"{run.name} failed with exit code {done.returncode}; its block stays as it was", file=sys.stderr)
            continue
        # Read anew: somebody may have written in the page meanwhile.
        page = options.page.read_text(encoding="utf-8")
        heading = _heading(started, time.monotonic() - clock)
        options.page.write_text(remade(page, run, done.stdout, heading), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
