"""mien's exact search against NumPy, faiss and usearch, and against what the machine can do at most.

Each number of threads runs in a process of its own, in an environment with the peers. In every case all contenders,
and loops that only read memory or only multiply, take turns in an order drawn anew; the shares and ratios are those
of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from environments import environment
from machine import use_cores
from rich.console import Console
from rich.table import Table

from mien.evaluation.machine import describe_machine

HERE = Path(__file__).resolve().parent
SIZES = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
TARGETS = {
    ("int8", 1): ("of read bandwidth", 0.85),
    ("float32", 1): ("of read bandwidth", 0.80),
    ("int8", 1000): ("of the int8 peak", 0.75),
    ("int8", 100): ("of the int8 peak", 0.55),
    ("float32", 1000): ("of the FMA peak", 0.85),
}
LARGEST = "1M"


def main() -> int:
    """Run the cases; 0 if every target at the largest size is reached, else 1."""
    parser = argparse.ArgumentParser(description="exact search against peers and the machine's limits, in one run")
    parser.add_argument("--size", action="append", choices=list(SIZES), help="may be given several times (all)")
    parser.add_argument("--dimension", action="append", type=int, choices=[128, 512])
    parser.add_argument("--threads", action="append", type=int, help="may be given several times (1 and 2)")
    parser.add_argument("--batch", action="append", type=int, choices=[1, 100, 1000])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a case (5); slow contenders run fewer")
    parser.add_argument("--without-peers", action="store_true", help="mien and the limits alone")
    parser.add_argument("--json", type=Path, help="where to write everything measured")
    options = parser.parse_args()
    console = Console(width=max(118, Console().width))
    report: dict[str, Any] = {"machine": describe_machine(), "cases": []}
    console.print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    with tempfile.TemporaryDirectory() as folder:
        peaks = Path(folder) / "peaks.so"
        command = ["cc", "-O2", "-shared", "-fPIC", "-pthread", str(HERE / "peaks.c"), "-o", str(peaks)]
        subprocess.run(command, check=True)
        for threads in options.threads or [1, 2]:
            for case in _run(options, threads, peaks):
                report["cases"].append(case)
                _show(console, case)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return _verdict(console, report["cases"])


def _run(options: argparse.Namespace, threads: int, peaks: Path) -> Any:
    """The cases of one number of threads, as they are done."""
    use_cores(max(threads, 1))
    request = {
        "sizes": [SIZES[name] for name in options.size or SIZES],
        "dimensions": options.dimension or [128, 512],
        "batches": options.batch or [1, 100, 1000],
        "threads": threads,
        "rounds": options.rounds,
        "peers": not options.without_peers,
        "peaks": str(peaks),
    }
    environ = {**os.environ, "PYTHONPATH": str(HERE.parent / "src")}
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environ[variable] = str(threads)
    # Their threads must not go on spinning on the cores of whoever is next.
    environ |= {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4"}
    command = [str(environment("search")), str(HERE / "search_cases.py"), json.dumps(request)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        for line in process.stdout or ():
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"the process with {threads} threads failed: exit {process.returncode}")


def _show(console: Console, case: dict[str, Any]) -> None:
    title = (
        f"{case['rows']:,} x {case['dimension']}, {case['batch']} probes, {case['threads']} threads; "
        f"read {case['read_gb_s']:.1f} GB/s, FMA {case['fma_g_s']:.1f} and {case['int8_kind']} {case['int8_g_s']:.1f} "
        f"billion products a second"
    )
    table = Table(title=title, title_justify="left")
    for column in ("contender", "ms a call", "rounds, ms", "share of", "limit", "mien int8 is faster by"):
        table.add_column(column)
    ours = case["times"]["mien int8"]["median"]
    for name, times in case["times"].items():
        share = case["shares"].get(name)
        table.add_row(
            name,
            f"{times['median']:.3f}",
            f"{times['low']:.3f} to {times['high']:.3f} ({times['rounds']})",
            "" if share is None else f"{share:.2f}",
            "" if share is None else case["limit"],
            "" if name == "mien int8" else f"{times['median'] / ours:.1f}",
        )
    console.print(table)
    if case.get("equal"):
        console.print(case["equal"])


def _verdict(console: Console, cases: list[dict[str, Any]]) -> int:
    """Compare the cases of the largest size with the targets."""
    missed = 0
    for case in cases:
        if case["rows"] != SIZES[LARGEST]:
            continue
        where = f"{LARGEST} x {case['dimension']}, {case['batch']} probes, {case['threads']} threads"
        checks = []
        for codec in ("int8", "float32"):
            of, least = TARGETS.get((codec, case["batch"]), ("", None))
            if least is not None:
                checks.append((f"{codec} {of}", case["shares"][f"mien {codec}"], least))
        times = {name: value["median"] for name, value in case["times"].items()}
        if case["batch"] == 1 and "numpy" in times:
            checks.append(("int8 over NumPy", times["numpy"] / times["mien int8"], 4.0))
        if case["batch"] > 1 and "faiss SQ8" in times:
            checks.append(("int8 over faiss SQ8", times["faiss SQ8"] / times["mien int8"], 4.0))
        for what, value, least in checks:
            reached = value >= least
            missed += not reached
            console.print(f"{where}: {what} {value:.2f}, target {least}: {'reached' if reached else 'NOT REACHED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
