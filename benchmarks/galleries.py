"""A SQLite gallery's own speed: bulk enrollment, opening, removing, memory; beside it what bare SQLite takes.

Bare SQLite writes the same bytes into one table without names, ids of people, indexes or an audit log, and reads
them back without making an index: what is left for mien's part is the difference.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mien.evaluation.machine import describe_machine
from mien.galleries import SqlGallery, open_gallery
from mien.matching import CODECS, SearchIndex
from mien.matching.segments import SEGMENT_ROWS
from mien.types import Templates

SPACE = "bench@00000000"
Finding = tuple[str, float, str, float | None, str, float | None]
"""What was measured, its value and unit, the same for bare SQLite, and the target with its direction."""


def main() -> int:
    """Measure and print; 0 if every target is reached, else 1."""
    parser = argparse.ArgumentParser(description="bulk enrollment, cold start and removal of a SQLite gallery")
    parser.add_argument("--rows", type=int, default=1_000_000, help="templates for opening and removing (1,000,000)")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write everything measured")
    options = parser.parse_args()
    console = Console(width=max(140, Console().width))
    console.print(", ".join(f"{key} {value}" for key, value in describe_machine().items()))
    rows: list[Finding] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        rows += enrollment(folder, options.dimension, options.rounds)
        rows += opening_and_removing(folder, options.rows, options.dimension, options.rounds)
    rows += memory(options.dimension)
    table = Table("measured", "value", "", "bare SQLite, or the limit", "target")
    missed = 0
    for what, value, unit, bare, bound, target in rows:
        reached = target is None or (value >= target if bound == "≥" else value <= target)
        missed += not reached
        wanted = "" if target is None else f"{bound} {target:g} {'reached' if reached else 'NOT REACHED'}"
        table.add_row(what, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}", unit, _bare(bare), wanted)
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n")
    return 1 if missed else 0


def _bare(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def unit_vectors(count: int, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random directions."""
    vectors = np.random.default_rng(0).standard_normal((count, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def enrollment(folder: Path, dimension: int, rounds: int) -> list[Finding]:
    """Templates a second of ``add_many``, for people of one template and of ten."""
    vectors = unit_vectors(100_000, dimension)
    found: list[Finding] = []
    for each in (1, 10):
        people = [
            (f"person {k}", Templates(vectors[k * each : (k + 1) * each], SPACE)) for k in range(len(vectors) // each)
        ]
        ours, bare = [], []
        for number in range(rounds):
            with open_gallery(f"sqlite:///{folder}/enroll-{each}-{number}.db") as gallery:
                ours.append(timed(partial(gallery.add_many, people)))
            bare.append(timed(partial(bare_insert, folder / f"bare-{each}-{number}.db", vectors)))
        rate, limit = (len(vectors) / statistics.median(times) for times in (ours, bare))
        found.append((f"enroll 100,000, {each} a person", rate, "templates/s", limit, "≥", 100_000.0))
    return found


def bare_insert(path: Path, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """The same vectors into one table, in one durable transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, vector BLOB)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, ?)", ((k, v.tobytes()) for k, v in enumerate(vectors)))
    connection.execute("COMMIT")
    connection.close()


_COLD = """
import json, resource, sys, time
import numpy as np
start = time.perf_counter()
from mien.galleries import open_gallery
from mien.types import Templates
imported = time.perf_counter()
probe = Templates.normalized(np.eye(1, int(sys.argv[2]), dtype=np.float32), "{space}")
with open_gallery(sys.argv[1], create=False) as gallery:
    gallery.search(probe)
    done = time.perf_counter()
    print(json.dumps([imported - start, done - imported]))
"""


def cold(url: str, dimension: int) -> float:
    """Seconds from opening to the first answer in a process of its own, imports not counted."""
    command = [sys.executable, "-c", _COLD.replace("{space}", SPACE), url, str(dimension)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)[1])


def opening_and_removing(folder: Path, rows: int, dimension: int, rounds: int) -> list[Finding]:
    """Cold start from the tables and from a snapshot, and removing single templates."""
    url, path = f"sqlite:///{folder}/people.db", folder / "people.db"
    with open_gallery(url) as gallery:
        vectors = unit_vectors(rows, dimension)
        for start in range(0, rows, 100_000):
            stop = min(rows, start + 100_000)
            gallery.add_many((f"person {k}", Templates(vectors[k : k + 1], SPACE)) for k in range(start, stop))
    del vectors
    from_tables, from_snapshot, bare, removals, with_snapshot = [], [], [], [], []
    for _ in range(rounds):
        from_tables.append(cold(url, dimension))
        bare.append(bare_read(path, rows, dimension))
    with open_gallery(url) as gallery:
        gallery.search(Templates.normalized(np.eye(1, dimension, dtype=np.float32), SPACE))
        for k in range(20):
            removals.append(timed(partial(gallery.remove_identity, f"person {k * 7 + 3}")))
        if isinstance(gallery, SqlGallery):
            gallery.compact()
    for _ in range(rounds):
        from_snapshot.append(cold(url, dimension))
    with open_gallery(url) as gallery:
        gallery.search(Templates.normalized(np.eye(1, dimension, dtype=np.float32), SPACE))
        for k in range(20):
            with_snapshot.append(timed(partial(gallery.remove_identity, f"person {k * 7 + 5}")))
    name = f"{rows:,} x {dimension}"
    return [
        (f"cold start of {name}", statistics.median(from_tables), "s", statistics.median(map(sum, bare)), "≤", 2.5),
        ("of the limit, fresh memory", statistics.median(touched for _, touched in bare), "s", None, "≤", None),
        ("the same from a snapshot", statistics.median(from_snapshot), "s", None, "≤", 0.3),
        (f"remove one of {name}", 1000 * statistics.median(removals), "ms", None, "≤", 5.0),
        ("the same with a snapshot", 1000 * statistics.median(with_snapshot), "ms", None, "≤", 5.0),
    ]


_BARE = """
import sqlite3, sys, time
import numpy as np
path, rows, dimension = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
start = time.perf_counter()
connection = sqlite3.connect(path)
cursor = connection.execute("SELECT id, identity_id, vector FROM templates ORDER BY gallery_id, id")
while cursor.fetchmany(1000):
    pass
read = time.perf_counter()
room = [np.empty((min(65536, rows - k), dimension), np.float32) for k in range(0, rows, 65536)]
for block in room:
    block[:] = 1
print(read - start, time.perf_counter() - read)
"""


def bare_read(path: Path, rows: int, dimension: int) -> tuple[float, float]:
    """Seconds of what no cold start can do without, in a process of its own.

    That is reading all vectors out of the file, with nothing made of them, and first use of as much memory, which on
    some virtual machines takes longer than the reading.
    """
    command = [sys.executable, "-c", _BARE, str(path), str(rows), str(dimension)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    read, touched = map(float, done.stdout.split())
    return read, touched


def memory(dimension: int) -> list[Finding]:
    """Bytes of memory a template in an index of each codec: vector, scales, ids."""
    count = 4 * SEGMENT_ROWS
    vectors = unit_vectors(count, dimension)
    found: list[Finding] = []
    for codec in CODECS:
        index = SearchIndex(dimension, codec)
        index.add(np.arange(count), np.arange(count), vectors)
        found.append((f"memory, {codec}", index.nbytes / count, "bytes/template", None, "", None))
    return found


def timed(work: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
