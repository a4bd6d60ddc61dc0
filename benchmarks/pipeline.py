"""mien against its peers and against its own runtime calls: the same photos, in turns, ratios of medians.

Every pipeline is a process of its own that has its models loaded and has seen the photos once. In each round every
one of them runs all photos from file to embeddings, in an order drawn anew, while the others sleep.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from contenders import COMPARISONS, Comparison, Plan, Unavailable, mien_environ, runtimes
from environments import ENVIRONMENTS
from machine import busy_seconds, use_cores
from measuring import interleave, ratio, spread
from photo_sets import photo_sets
from rich.console import Console
from rich.table import Table
from workers import Run, Worker

from mien.evaluation.machine import describe_machine
from mien.recognizer import Settings

BARE = "bare-runtime"
# A worker that waits should cost nothing; beyond this share of a core it disturbs the one that runs.
_IDLE_SHARE = 0.02
# Beyond this share of the cores in other hands, the figures say as much about the others.
_OTHERS_SHARE = 0.05


def main() -> int:
    """Run the chosen comparisons; 0 if every target is reached, else 1."""
    options = _arguments()
    use_cores(options.threads)
    os.environ.update(mien_environ())
    console = Console(width=max(150, Console().width))
    report: dict[str, Any] = {"machine": describe_machine(), "threads": options.threads, "rounds": options.rounds}
    report["comparisons"] = results = []
    sets = photo_sets(options.photos, limit=options.limit)
    for name in options.only or [*COMPARISONS, BARE]:
        for set_name, photos in sets.items():
            try:
                if name == BARE:
                    found = [_bare(runtime, photos, options) for runtime in options.runtime or runtimes()]
                else:
                    found = [_compare(COMPARISONS[name], set_name, photos, options)]
            except Unavailable as reason:
                console.print(f"{name}, {set_name}: left out, {reason}", markup=False)
                continue
            for result in found:
                result = {"comparison": name, "set": set_name, **result}
                results.append(result)
                _show(console, result)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    missed = [r for result in results for r in result["ratios"] if r["target"] is not None and not r["reached"]]
    console.print(f"{len(missed)} of the targets not reached" if missed else "every target reached")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="mien against its peers: the same photos, in turns")
    parser.add_argument("--only", action="append", choices=[*COMPARISONS, BARE], help="may be given several times")
    parser.add_argument("--runtime", action="append", choices=runtimes(), help="of mien (all that are installed)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one to warm up (5)")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for everyone (2)")
    parser.add_argument("--limit", type=int, default=200, help="photos a set at most (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within rounds")
    parser.add_argument("--photos", type=Path, action="append", default=[], help="a folder in place of the sets")
    parser.add_argument("--json", type=Path, help="where to write everything measured")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1 or options.limit < 1:
        parser.error("--rounds, --threads and --limit: expected 1 or more")
    return options


def _compare(
    comparison: Comparison, set_name: str, photos: Sequence[Path], options: argparse.Namespace
) -> dict[str, Any]:
    """Time everyone in one comparison on one set of photos."""
    photos = photos[:: -(-len(photos) // comparison.most_photos.get(set_name, len(photos)))]
    if comparison.longest_side is not None:
        photos = _resized(photos, comparison.longest_side, set_name)
    # The peers' detectors are given mien's default score, so that all of them have about as many faces to embed.
    plan = Plan(options.threads, float(Settings().min_score), options.runtime or runtimes())
    runs: dict[str, list[Run]] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for contender in comparison.contenders(plan):
            worker = workers[contender.name] = stack.enter_context(contender.start(options.threads))
            worker.run(photos[: contender.warm_up])
            runs[contender.name] = []

        def timed(name: str) -> float:
            run = workers[name].run(photos)
            runs[name].append(run)
            return run.seconds

        cpu_before = {name: worker.cpu_seconds() for name, worker in workers.items()}
        busy_before, start = busy_seconds(), time.perf_counter()
        turns = {name: partial(timed, name) for name in workers}
        seconds = interleave(turns, rounds=options.rounds, seed=options.seed)
        wall = time.perf_counter() - start
        cpu = {name: worker.cpu_seconds() - cpu_before[name] for name, worker in workers.items()}
        others = max(0.0, busy_seconds() - busy_before - sum(cpu.values())) / (wall * options.threads)
        rows = [_row(name, seconds[name], runs[name], wall, cpu[name], workers[name].about) for name in seconds]
    ratios = [
        ratio(f"{pair.mien} against {pair.peer}", seconds[pair.peer], seconds[pair.mien], pair.target).as_json()
        for pair in comparison.pairs
        if pair.mien in seconds and pair.peer in seconds
    ]
    named = {"title": comparison.title, "photos": len(photos), "others_share": others}
    return {**named, "contenders": rows, "ratios": ratios}


def _row(
    name: str, seconds: Sequence[float], runs: Sequence[Run], wall: float, cpu: float, about: Mapping[str, str]
) -> dict[str, Any]:
    """What one contender did: ``cpu`` are its processor seconds within ``wall`` seconds, its turns and the others'."""
    photos = len(runs[-1].faces)
    own = [run.cpu_seconds for run in runs[-len(seconds) :]]
    times = spread(seconds, photos)
    return {
        "name": name,
        "about": dict(about),
        "faces": sum(count for count in runs[-1].faces if count > 0),
        "photos_with_a_face": sum(count > 0 for count in runs[-1].faces),
        "unreadable": sum(count < 0 for count in runs[-1].faces),
        "images_per_second": 1000 / times.median,
        "ms_a_photo": asdict(times),
        "seconds": list(seconds),
        "cpu_ms_a_photo": spread(own, photos).median,
        "idle_share": max(0.0, cpu - sum(own)) / max(wall - sum(seconds), 1e-9),
    }


def _resized(photos: Sequence[Path], longest_side: int, set_name: str) -> list[Path]:
    """JPEG copies of the photos, enlarged or shrunk to one longest side."""
    folder = ENVIRONMENTS / f"photos-{longest_side}" / set_name
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for number, photo in enumerate(photos):
        image = cv2.imread(str(photo))
        if image is None:
            continue
        scale = longest_side / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        copies.append(folder / f"{number:04}.jpg")
        cv2.imwrite(str(copies[-1]), resized, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return copies


def _bare(runtime: str, photos: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    """The whole pipeline against its own runtime calls, in a process of its own."""
    settings = {"runtime": runtime, "threads": options.threads}
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as paths:
        paths.write("\n".join(map(str, photos)))
        paths.flush()
        script = Path(__file__).with_name("bare_runtime.py")
        arguments = ["--photos", paths.name, "--settings", json.dumps(settings)]
        arguments += ["--rounds", str(options.rounds), "--seed", str(options.seed)]
        done = subprocess.run([sys.executable, str(script), *arguments], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _show(console: Console, result: Mapping[str, Any]) -> None:
    table = Table(title=f"{result['set']}, {result['photos']} photos: {result['title']}", title_justify="left")
    table.add_column("pipeline", no_wrap=True)
    for heading in (
        "with a face",
        "faces",
        "unreadable",
        "images/s",
        "ms a face",
        "ms a photo",
        "rounds, ms",
        "CPU ms",
        "idle",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["contenders"]:
        times = row["ms_a_photo"]
        table.add_row(
            row["name"],
            str(row["photos_with_a_face"]),
            str(row["faces"]),
            str(row["unreadable"]),
            f"{row['images_per_second']:.1f}",
            f"{times['median'] * result['photos'] / max(row['faces'], 1):.2f}",
            f"{times['median']:.2f}",
            f"{times['low']:.2f} to {times['high']:.2f}",
            f"{row['cpu_ms_a_photo']:.2f}",
            f"{row['idle_share']:.1%}" + (" !" if row["idle_share"] > _IDLE_SHARE else ""),
        )
    console.print(table)
    share = result["others_share"]
    console.print(f"  other processes took {share:.0%} of the cores" + (": not quiet" if share > _OTHERS_SHARE else ""))
    for line in result["ratios"]:
        rounds = f"rounds {line['low']:.2f} to {line['high']:.2f}"
        verdict = "reached" if line["reached"] else "NOT REACHED"
        target = "" if line["target"] is None else f", target {line['bound']} {line['target']:g}: {verdict}"
        console.print(f"  {line['name']}: {line['value']:.2f} ({rounds}){target}", markup=False, highlight=False)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
