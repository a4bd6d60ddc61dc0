"""A process that enrolls and removes without end, killed at random moments, again and again.

Usage: killing.py URL KILLS SEED. Each child opens the gallery and changes it, saying through a pipe what it is about
to do and what has returned. The parent waits for the first change, so that there is one however slow the machine is,
kills the child by SIGKILL at a random moment, opens the gallery itself, and compares.
Prints one JSON object: kills, how many changes had returned, how many were under way, and every disagreement.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import Any

import numpy as np

from mien.errors import MienError
from mien.galleries import open_gallery
from mien.types import Templates

DIMENSION = 32


def templates(seed: int, count: int) -> Templates:
    """Templates that the parent can make again."""
    raw = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return Templates.normalized(raw, "test@00000000")


def child(url: str, seed: int, out: int) -> None:
    """Change the gallery until killed; a line before each change and one after."""
    chance = random.Random(seed)

    def say(**line: Any) -> None:
        os.write(out, (json.dumps(line) + "\n").encode())

    with open_gallery(url) as gallery:
        say(opened=True)
        number = 0
        while True:
            number += 1
            names = [f"{seed}-{number}-{k}" for k in range(chance.choice([1, 1, 2, 7, 40]))]
            counts = {name: chance.randint(1, 3) for name in names}
            say(adding=counts)
            gallery.add_many([(name, templates(hash_of(name), count)) for name, count in counts.items()])
            say(added=counts)
            if chance.random() < 0.4:
                name = chance.choice(names)
                say(removing=name)
                gallery.remove_identity(name)
                say(removed=name)


def hash_of(name: str) -> int:
    """A seed for a name, the same in every process."""
    return int.from_bytes(name.encode(), "little") % (2**63)


def main(url: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill as many children; what was seen."""
    chance = random.Random(seed)
    held: dict[str, int] = {}
    report: dict[str, Any] = {"kills": 0, "returned": 0, "under_way": 0, "under_way_done": 0, "wrong": []}
    while report["kills"] < kills:
        lines = killed_child(url, seed + report["kills"] + 1, chance)
        report["kills"] += 1
        pending: dict[str, Any] = {}
        for line in lines:
            if "added" in line:
                held.update(line["added"])
                report["returned"] += 1
            elif "removed" in line:
                del held[line["removed"]]
                report["returned"] += 1
            pending = line if "adding" in line or "removing" in line else {}
        compare(url, held, pending, report)
    return report


def killed_child(url: str, seed: int, chance: random.Random) -> list[dict[str, Any]]:
    """Start a child, kill it at a random moment after its first change, and read what it said."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            child(url, seed, writing)
        finally:
            os._exit(1)
    os.close(writing)
    said = b""
    while b'"added"' not in said and (more := os.read(reading, 1 << 16)):
        said += more
    time.sleep(chance.uniform(0, 0.2))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"the child ended by itself: {status}")
    with os.fdopen(reading, "rb") as file:
        said += file.read()
    return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]


def compare(url: str, held: dict[str, int], pending: dict[str, Any], report: dict[str, Any]) -> None:
    """What the gallery holds against what it must; a change that was under way may be there wholly or not at all."""
    try:
        with open_gallery(url) as gallery:
            found = dict(gallery.identities())
            total = len(gallery)
            if pending:
                report["under_way"] += 1
            if "adding" in pending and any(name in found for name in pending["adding"]):
                held.update(pending["adding"])
                report["under_way_done"] += 1
            if "removing" in pending and pending["removing"] not in found:
                del held[pending["removing"]]
                report["under_way_done"] += 1
            if found != held or total != sum(held.values()):
                differing = sorted(set(found.items()) ^ set(held.items()))[:5]
                report["wrong"].append({"kill": report["kills"], "identities": differing, "templates": total})
                held.clear()
                held.update(found)
            for name in sorted(held)[-3:]:
                expected = templates(hash_of(name), held[name])
                if not np.array_equal(gallery.templates(name)[1].vectors, expected.vectors):
                    report["wrong"].append({"kill": report["kills"], "vectors of": name})
                if name not in [match.identity for match in gallery.search(expected[0])[0]]:
                    report["wrong"].append({"kill": report["kills"], "not found": name})
    except MienError as error:
        report["wrong"].append({"kill": report["kills"], "error": f"{error.code}: {error}"})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))) + "\n")
