"""``mien bench``."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.command import command
from mien.cli.options import Tuning
from mien.cli.output import Output

if TYPE_CHECKING:
    from mien.evaluation.speed import ColdStart, Scene, SceneTimes, Way
    from mien.recognizer import Recognizer

__all__ = ["bench"]

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_GALLERY = 100_000


@command
def bench(
    tuning: Tuning,
    output: Output,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMG...]",
            show_default=False,
            help="Images of your own to time with; without any, a sample portrait is put into images of --size.",
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Size of the images; may be given several times. [640x480 1920x1080]"),
    ] = None,
    faces: Annotated[
        list[int] | None, typer.Option(min=0, metavar="N", help="Faces in an image; may be repeated. [1 5]")
    ] = None,
    at_once: Annotated[
        list[int] | None, typer.Option(min=1, metavar="N", help="Images a call; may be repeated. [1 16]")
    ] = None,
    gallery: Annotated[
        int, typer.Option(min=0, metavar="ROWS", help="Templates in the gallery that is searched; 0 searches none.")
    ] = _GALLERY,
    most_threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads up to which to compare; by default all cores.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.05, help="How long to time each step.")] = 2.0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw latency against throughput into this PNG, SVG or PDF.")
    ] = None,
) -> None:
    """Measure how fast this machine is: each step, all together, the start, and threads against instances.

    Times are the median of single calls and the 95th percentile, in milliseconds; the first call of each is left out.
    A busy machine gives poor figures: close other programs first.

    Example: mien bench

    Example: mien bench --embedder dlib-resnet --size 1280x720 --faces 1 --faces 10 --plot threads.png
    """
    from mien.evaluation.machine import describe_machine, describe_versions, usable_cores
    from mien.evaluation.speed import (
        measure_cold_start,
        measure_scaling,
        measure_scene,
        measure_search,
        plot_scaling,
        require_plot,
    )

    if plot is not None:
        require_plot(plot)
    sizes = [_parsed(text) for text in size or ("640x480", "1920x1080")]
    recognizer = tuning.recognizer().warmup()
    scenes = _scenes(images or [], sizes, faces or [1, 5], output)
    most = usable_cores() if most_threads is None else most_threads
    calls = at_once or [1, 16]
    output.result({"kind": "machine", "machine": describe_machine(), "versions": describe_versions()})
    output.say(", ".join(f"{key} {value}" for key, value in {**describe_machine(), **describe_versions()}.items()))
    output.columns("start of a process", "import", "load", "first call", "second call", "memory")
    _show_start(output, recognizer, measure_cold_start(recognizer.settings, scenes[0]))
    output.columns(
        *("image", "faces", "a call", "decode", "detect", "align", "embed", "together", "p95", "images/s", "faces/s")
    )
    with output.progress("steps", len(scenes) * len(calls), unit="cases") as advance:
        for scene in scenes:
            for count in calls:
                _show_scene(output, measure_scene(recognizer, scene, count, seconds=seconds))
                advance(1)
    output.say("")
    if gallery:
        times = measure_search(recognizer, gallery, seconds=seconds)
        width = recognizer.embedder.dimension
        output.columns("search of one probe", "templates", "median", "p95", "bytes a template: float32, int8")
        output.result(
            {
                "kind": "search",
                "templates": gallery,
                "times": asdict(times),
                "template_bytes": {"float32": 4 * width, "int8": width + 4},
            },
            ("in memory", f"{gallery:,}", _ms(times.median_ms), _ms(times.p95_ms), f"{4 * width}, {width + 4}"),
        )
        output.say("")
    output.columns("threads", "n", "a call", "p95", "images/s")
    with output.progress("threads", None, unit="ways") as advance:
        ways = measure_scaling(recognizer.settings, scenes[0], most, seconds=seconds, progress=lambda: advance(1))
    for way in ways:
        _show_way(output, way)
    if plot is not None:
        plot_scaling(ways, plot, title=f"{recognizer.settings.detector} and {recognizer.space}: {scenes[0].name}")
        output.note(f"latency against throughput: {plot}")


def _parsed(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None or 0 in (wh := (int(found[1]), int(found[2]))):
        raise typer.BadParameter(f"expected a width and a height as in 640x480, got {text!r}", param_hint="--size")
    return wh


def _scenes(images: list[str], sizes: list[tuple[int, int]], faces: list[int], output: Output) -> list[Scene]:
    from mien.evaluation.speed import compose, scene_of
    from mien.images import load

    if images:
        return [scene_of(path, Path(path).name) for path in images]
    from mien.images.samples import fetch
    from mien.zoo import cache_dir

    with output.progress("sample photos", 8, unit="photos") as advance:
        samples = fetch(cache_dir() / "samples", progress=lambda _present, _total: advance(1))
    portrait = load(samples.astronaut)
    return [compose(portrait, wh, count) for wh in sizes for count in faces]


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _show_start(output: Output, recognizer: Recognizer, start: ColdStart) -> None:
    told = (start.import_ms, start.load_ms, start.first_ms, start.second_ms)
    memory = "unknown" if start.peak_mib is None else f"{start.peak_mib:.0f} MiB"
    models = f"{recognizer.settings.detector}, {recognizer.settings.embedder}, {recognizer.settings.runtime}"
    output.result({"kind": "cold_start", **asdict(start)}, (models, *map(_ms, told), memory))
    output.say("")


def _show_scene(output: Output, found: SceneTimes) -> None:
    record: dict[str, Any] = {"kind": "steps", **asdict(found), "images_per_second": found.images_per_second}
    cells = [found.scene, str(found.faces), str(found.images)]
    cells += [_ms(found.steps[step].median_ms) for step in found.steps]
    rate = found.images_per_second
    cells += [_ms(found.together.median_ms), _ms(found.together.p95_ms), f"{rate:.1f}", f"{rate * found.faces:.1f}"]
    output.result(record, tuple(cells))


def _show_way(output: Output, way: Way) -> None:
    told = "one instance of n threads" if way.kind == "threads" else "n instances of one thread"
    cells = (told, str(way.n), _ms(way.times.median_ms), _ms(way.times.p95_ms), f"{way.images_per_second:.1f}")
    record = {"kind": "threads", "way": way.kind, "n": way.n, "times": asdict(way.times)}
    output.result({**record, "images_per_second": way.images_per_second}, cells)
