"""The server under load on this machine: throughput beside the same work in process, overflow, memory, kill -9.

    python benchmarks/server.py [--only load overflow memory kill] [--seconds 30] [--clients 1 4 16 64] [--json FILE]

- `load`: `identify` on photos of LFW against a gallery of 100,000 templates of 128 numbers, by more and more clients,
  and `Recognizer.identify` on the same photos in a process of its own. Both take turns, three times for each number of
  clients; the ratio is that of the medians. The clients run on the same cores; the processor time they took is printed.
- `overflow`: 64 clients against a queue of 8 images: every request is answered, by 200 or 503.
- `memory`: the server's resident memory over 20,000 requests, small photos.
- `kill`: 500 enrollments, during which the server is killed (SIGKILL) five times and started anew; clients repeat what
  was not answered, with the same idempotency key. Every 200 must be in the gallery, none twice.

Exit code 0 if every target is reached. Needs the extra `server`; photos as benchmarks/README.md says.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from photo_sets import photo_sets

import mien
from mien.galleries import NewEnrollment

ROOT = Path(__file__).resolve().parent
TARGET = 0.85
ROUNDS = 3
ENROLLED, DIMENSION = 100_000, 128
REQUESTS = 20_000
FLAT_MB = 40.0
KILLS, IMAGES = 5, 500


@dataclass(frozen=True, slots=True)
class Running:
    """A server's process and address."""

    process: subprocess.Popen[str]
    url: str


def main() -> int:
    """Run what was asked for; 0 if every target was reached."""
    parts = {"load": load, "overflow": overflow, "memory": memory, "kill": kill}
    parser = argparse.ArgumentParser(description="the server under load")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photos = _written(folder, next(iter(photo_sets(limit=100).values())))
        _fill(folder)
        for name in options.only:
            found[name] = parts[name](folder, photos, options)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if all(part["reached"] for part in found.values()) else 1


def load(folder: Path, photos: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Requests a second by number of clients, and in process."""
    print(
        f"identify {len(photos)} photos, {ENROLLED:,} templates of {DIMENSION}; {options.seconds:g} s, {ROUNDS} rounds"
    )
    rows = []
    with serving(folder) as server, in_process(folder, photos) as alone:
        for clients in options.clients:
            served: list[dict[str, Any]] = []
            bare: list[float] = []
            for _ in range(ROUNDS):
                bare.append(alone(options.seconds / 2))
                served.append(sent(server.url, photos, clients=clients, seconds=options.seconds / ROUNDS))
            row = _row(clients, served, bare)
            rows.append(row)
            print(
                f"  {clients:3} clients: {row['per_second']:6.1f} requests/s, in process {row['in_process']:6.1f}: "
                f"{row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f} in a round); p50 {row['p50_ms']:.0f} ms, "
                f"p95 {row['p95_ms']:.0f}, p99 {row['p99_ms']:.0f}; clients took {row['clients_share']:.0%} of a core",
                flush=True,
            )
    reached = all(row["ratio"] >= TARGET for row in rows if row["clients"] == 16)
    print(f"  target: at least {TARGET} at 16 clients: {'reached' if reached else 'missed'}")
    return {"rows": rows, "reached": reached}


def _row(clients: int, served: list[dict[str, Any]], bare: list[float]) -> dict[str, Any]:
    rates = [sum(each["statuses"].values()) / each["seconds"] for each in served]
    if any(set(each["statuses"]) - {"200"} or each["unanswered"] for each in served):
        raise SystemExit(f"expected 200 for all, got {[each['statuses'] for each in served]}")
    times = np.concatenate([each["times_ms"] for each in served])
    ratios = [rate / other for rate, other in zip(rates, bare, strict=True)]
    return {
        "clients": clients,
        "per_second": statistics.median(rates),
        "in_process": statistics.median(bare),
        "ratio": statistics.median(rates) / statistics.median(bare),
        "low": min(ratios),
        "high": max(ratios),
        **{f"p{part}_ms": float(np.percentile(times, part)) for part in (50, 95, 99)},
        "clients_share": sum(each["processor_s"] for each in served) / sum(each["seconds"] for each in served),
    }


def overflow(folder: Path, photos: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """What becomes of requests that the queue has no room for."""
    with serving(folder, MIEN_SERVER_QUEUE="8") as server:
        found = sent(server.url, photos, clients=64, seconds=options.seconds / 3)
    statuses = found["statuses"]
    reached = found["unanswered"] == 0 and set(statuses) == {"200", "503"}
    told = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    print(f"overflow: 64 clients, room for 8 images: {told}, {found['unanswered']} without an answer")
    return {"statuses": statuses, "unanswered": found["unanswered"], "reached": reached}


def memory(folder: Path, photos: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of the server, in megabytes, while requests come."""
    small = _written(folder, photos[:50], side=120)
    steps, each = 20, options.requests // 20
    with serving(folder) as server:
        process = psutil.Process(server.process.pid)
        sizes = []
        for _ in range(steps):
            found = sent(server.url, small, clients=16, requests=each)
            if set(found["statuses"]) != {"200"}:
                raise SystemExit(f"expected 200 for all, got {found['statuses']}")
            sizes.append(process.memory_info().rss / 1e6)
    growth = statistics.mean(sizes[-5:]) - statistics.mean(sizes[4:9])
    reached = growth <= FLAT_MB
    print(
        f"memory over {steps * each:,} requests: {sizes[0]:.0f} MB after {each:,}, {max(sizes):.0f} at most, "
        f"{sizes[-1]:.0f} at the end; the last quarter is {growth:+.1f} MB from the second (at most {FLAT_MB:g})"
    )
    return {"megabytes": sizes, "growth": growth, "reached": reached}


def kill(folder: Path, photos: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Enrollments while the server is killed again and again."""
    small = _written(folder, photos[:50], side=160)
    port, answers, gate = _free_port(), dict[int, int](), threading.Condition()
    refused: list[str] = []

    def enroll(number: int) -> None:
        import httpx

        # Some photos of LFW show others in the background.
        query = {"identity": f"person {number % 50}", "face": "largest"}
        headers = {"Idempotency-Key": f"photo-{number}", "Content-Type": "image/jpeg"}
        path = f"http://127.0.0.1:{port}/v1/galleries/default/enroll"
        body = small[number % len(small)].read_bytes()
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not refused:
                try:
                    answer = client.post(path, params=query, content=body, headers=headers)
                except httpx.TransportError:
                    time.sleep(0.1)
                    continue
                if answer.status_code != 503:
                    break
                time.sleep(0.2)
            else:
                return
        with gate:
            if answer.status_code == 200:
                answers[number] = answer.json()["results"][0]["template_id"]
            else:
                refused.append(f"photo {number}: {answer.status_code} {answer.text}")
            gate.notify_all()

    data = folder / "killed"
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(enroll, number) for number in range(IMAGES)]
        for killed in range(KILLS + 1):
            enough = IMAGES if killed == KILLS else (killed + 1) * IMAGES // (KILLS + 1)
            with serving(folder, data=data, port=port, MIEN_QUALITY="off") as server, gate:
                gate.wait_for(lambda: refused or len(answers) >= enough, timeout=600)  # noqa: B023 - called at once
                if refused:
                    raise SystemExit(refused[0])
                if killed < KILLS:
                    server.process.kill()
        for future in futures:
            future.result()
    with mien.open_gallery(f"sqlite:///{data / 'people.db'}", create=False) as gallery:
        there = {number for name, _ in gallery.identities() for number in gallery.templates(name)[0]}
    lost, twice = set(answers.values()) - there, len(there) - len(set(answers.values()))
    reached = len(answers) == IMAGES and not lost and twice == 0 and len(set(answers.values())) == IMAGES
    print(
        f"kill: {IMAGES} enrollments, {KILLS} times kill -9: {len(answers)} answered 200, {len(there)} templates, "
        f"{len(lost)} lost, {twice} too many"
    )
    return {"answered": len(answers), "templates": len(there), "lost": len(lost), "twice": twice, "reached": reached}


@contextmanager
def serving(folder: Path, *, data: Path | None = None, port: int = 0, **variables: str) -> Iterator[Running]:
    """`mien serve` in a process of its own, without a limit of requests; stopped at the end."""
    place = folder / "server" if data is None else data
    command = [
        sys.executable,
        "-m",
        "mien",
        "serve",
        "--json",
        "--data",
        str(place),
        "--port",
        str(port),
        "--rate",
        "0",
    ]
    environment = {**os.environ, **variables}
    with (folder / "server.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit((folder / "server.log").read_text(encoding="utf-8"))
        yield Running(process, json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def in_process(folder: Path, photos: Sequence[Path]) -> Iterator[Any]:
    """A call that lets another process identify the photos for some seconds, without a server; photos a second."""
    command = [sys.executable, str(ROOT / "server_alone.py"), f"sqlite:///{folder / 'server' / 'people.db'}"]
    process = subprocess.Popen([*command, *map(str, photos)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    told, answers = process.stdin, process.stdout

    def alone(seconds: float) -> float:
        told.write(f"{seconds}\n")
        told.flush()
        return float(answers.readline())

    try:
        alone(1.0)  # models and gallery load
        yield alone
    finally:
        told.close()
        process.wait(60)


def sent(url: str, photos: Sequence[Path], *, clients: int, **how: float) -> dict[str, Any]:
    """What clients in a process of their own got back; see server_load.py."""
    words = [sys.executable, str(ROOT / "server_load.py"), f"{url}/v1/galleries/default/identify?top=1"]
    words += ["--clients", str(clients), *(w for name, value in how.items() for w in (f"--{name}", str(value)))]
    done = subprocess.run([*words, *map(str, photos)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _fill(folder: Path) -> None:
    """The gallery that is searched: random directions, in the default embedder's space."""
    place = folder / "server"
    place.mkdir(mode=0o700)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((ENROLLED, DIMENSION)).astype(np.float32)
    templates = mien.Templates.normalized(vectors, mien.Recognizer().space)
    with mien.open_gallery(f"sqlite:///{place / 'people.db'}") as gallery:
        gallery.add_many(NewEnrollment(f"person {k // 2}", templates[k : k + 2]) for k in range(0, ENROLLED, 2))


def _written(folder: Path, photos: Sequence[Path], *, side: int | None = None) -> list[Path]:
    """The photos as JPEG files, in a size of their own."""
    place = folder / f"photos-{side}"
    place.mkdir(exist_ok=True)
    made = []
    for number, photo in enumerate(photos):
        pixels = cv2.imread(str(photo))
        if pixels is None:
            raise SystemExit(f"{photo}: cannot be read")
        if side is not None:
            scale = side / max(pixels.shape[:2])
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        made.append(place / f"{number:03}.jpg")
        cv2.imwrite(str(made[-1]), pixels)
    return made


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
