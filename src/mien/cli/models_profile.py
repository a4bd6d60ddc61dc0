"""``mien models profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.output import Output
from mien.cli.records import Record
from mien.errors import MienError, ModelNotFound

if TYPE_CHECKING:
    from mien.training.profiling import Profile

__all__ = ["profile"]

_DETECTOR_SIZE = 640


@command
def profile(
    output: Output,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            show_default=False,
            help="A network that mien trains, a model, or an ONNX file; by default all networks.",
        ),
    ] = None,
    dimension: Annotated[int, typer.Option(min=1, help="Numbers in a template, for a network.")] = 512,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False, help="Side of the image in pixels, for a file that takes any; detectors: 640."
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, show_default=False, help="Threads to measure with, repeatable; by default 1 and all."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs to take the median of.")] = 50,
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Count, but do not measure.")] = False,
) -> None:
    """Tell what networks and models cost: parameters, multiplications, and the time of one image.

    MACs are the multiplications of convolutions and linear layers. Times are those of ONNX Runtime, one image at a
    time; a network has random weights then, which changes nothing.

    Example: mien models profile mobilefacenet ir18

    Example: mien models profile sface --threads 1
    """
    counts = [] if no_latency else threads
    output.columns("name", "size", "parameters", "million MACs", "threads", "median ms", "p95 ms")
    for name in names if names else _networks():
        try:
            found = _profile(name, dimension, size, counts, runs) if names else _network(name, dimension, counts, runs)
        except MienError as error:
            output.failure({"name": name}, error)
        else:
            output.result(_record(found), *_rows(found))


def _networks() -> list[str]:
    from mien.training.requirements import need_torch

    need_torch()
    from mien.training.backbones import BACKBONES

    return list(BACKBONES)


def _network(name: str, dimension: int, threads: list[int] | None, runs: int) -> Profile:
    from mien.training.profiling import profile_backbone

    return profile_backbone(name, dimension=dimension, threads=threads, runs=runs)


def _profile(name: str, dimension: int, size: int | None, threads: list[int] | None, runs: int) -> Profile:
    from mien.training.profiling import profile_onnx

    if name.endswith(".onnx"):
        return profile_onnx(Path(name), size=size, threads=threads, runs=runs)
    from mien import zoo

    try:
        card = zoo.card(name)
    except ModelNotFound as error:
        networks = _networks()
        if name in networks:
            return _network(name, dimension, threads, runs)
        raise ModelNotFound(f"{error.message}; the networks are {', '.join(networks)}") from error
    if card.parts:
        raise ModelNotFound(f"{name} has no file of its own; it is made of {', '.join(p.card for p in card.parts)}")
    given = card.input.size if size is None else size
    side = _DETECTOR_SIZE if given is None else given
    return profile_onnx(zoo.resolve(card), name=name, size=side, threads=threads, runs=runs)


def _record(found: Profile) -> Record:
    return {
        "name": found.name,
        "size": found.size,
        "parameters": found.parameters,
        "macs": found.macs,
        "latency_ms": [
            {"threads": each.threads, "median": round(each.median_ms, 3), "p95": round(each.p95_ms, 3)}
            for each in found.latencies
        ],
    }


def _rows(found: Profile) -> list[tuple[str, ...]]:
    macs = "unknown" if found.macs is None else f"{found.macs / 1e6:,.1f}"
    first = (found.name, str(found.size), f"{found.parameters:,}", macs)
    times = [(str(each.threads), f"{each.median_ms:.2f}", f"{each.p95_ms:.2f}") for each in found.latencies]
    return [(first if not k else ("", "", "", "")) + each for k, each in enumerate(times or [("", "", "")])]
