"""A model's page: what it is, what it was made from, how good it is, in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien._version import __version__
from mien.runtimes import import_onnxruntime
from mien.training.onnx_files import BATCHES, OPSET, TOLERANCE
from mien.training.provenance import DataFacts, Source
from mien.zoo import Card

__all__ = ["Measured", "PageFacts", "model_page"]

_PATHS = {"packs", "path", "images", "start", "teacher_run"}


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page tells beyond the model's card.

    Attributes:
        network: name of the backbone.
        paper: where it is described.
        figures: of the evaluation of these weights, by protocol.
        data: what it was trained on.
        sources: what its weights were derived from.
        settings: of the run, as nested tables; empty where there was none.
        step: steps done, or None.
        result: how the run ended, as its ``result.json`` says; empty where it does not.
        note: the settings'.
    """

    network: str
    paper: str
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    data: Sequence[DataFacts] = ()
    sources: Sequence[Source] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out of a model while it was written.

    Attributes:
        parameters: of the network.
        macs: of one image.
        difference: largest one between the file's unit templates and PyTorch's.
    """

    parameters: int
    macs: int
    difference: float


def model_page(card: Card, facts: PageFacts, measured: Measured) -> str:
    """The page, in Markdown.

    Args:
        card: the model's.
        facts: of how it was trained.
        measured: of the network and its file.
    """
    parts = [
        _head(card, facts, measured),
        _data(facts),
        _license(card, facts),
        _figures(card, facts),
        _making(card, facts, measured),
    ]
    return "\n\n".join(parts) + "\n"


def _head(card: Card, facts: PageFacts, measured: Measured) -> str:
    dimension = card.embedding.dimension if card.embedding is not None else 0
    lines = [
        f"# {card.name}",
        "",
        card.description,
        *(["", facts.note] if facts.note else []),
        "",
        "| | |",
        "|---|---|",
        f"| network | {facts.network}: {facts.paper} |",
        f"| size | {measured.parameters:,} parameters, {measured.macs / 1e6:,.0f} million MACs a face |",
        f"| input | {card.input.size}×{card.input.size} RGB, aligned as the card says, (pixel − 127.5) / 127.5 |",
        f"| output | {dimension} numbers; templates are these at unit norm, compared by cosine |",
        f"| license | {card.license.id}, commercial use: {'yes' if card.license.commercial else 'no'} |",
        "",
        "```",
        f"mien models add {card.name}.onnx --card {card.name}.toml"
        + ("" if card.license.commercial else " --accept-license"),
        f"mien verify a.jpg b.jpg --embedder {card.name}",
        "```",
    ]
    return "\n".join(lines)


def _data(facts: PageFacts) -> str:
    if not facts.data:
        return "## Data\n\nNot known: the weights came without the settings of their run."
    lines = ["## Data", "", "| pack | images | people | licenses | note |", "|---|---:|---:|---|---|"]
    for each in facts.data:
        if each.problem:
            lines.append(f"| {_cell(each.name)} | | | | could not be read at export: {_cell(each.problem)} |")
            continue
        licenses = ", ".join(f"{text or 'not stated'} ({images:,})" for text, images in each.licenses)
        lines.append(
            f"| {_cell(each.name)} | {each.images:,} | {each.people:,} | {_cell(licenses)} | {_cell(each.note)} |"
        )
    return "\n".join(lines)


def _license(card: Card, facts: PageFacts) -> str:
    lines = [
        "## License",
        "",
        f"These weights: {card.license.id}, commercial use {'allowed' if card.license.commercial else 'not allowed'}. "
        "What they were derived from:",
        "",
    ]
    words = {True: "allowed", False: "not allowed", None: "not known"}
    for source in facts.sources:
        where = f", {source.url}" if source.url else ""
        lines.append(f"- {source.what}: {source.license}, commercial use {words[source.commercial]}{where}")
    if not facts.sources:
        lines.append("- not known")
    return "\n".join(lines)


def _figures(card: Card, facts: PageFacts) -> str:
    lines = ["## Figures", ""]
    if card.embedding is not None:
        lines += [f"Threshold {card.embedding.threshold:.4f}: {card.embedding.threshold_note}.", ""]
    if not facts.figures:
        lines.append("These weights were not evaluated in training.")
    for protocol, figures in facts.figures.items():
        lines += [f"### {protocol}", "", "| figure | value |", "|---|---:|"]
        for name, value in figures.items():
            if name == "standard_error":
                continue
            spread = figures.get("standard_error") if name == "accuracy" else None
            shown = f"{value:.4f}" if spread is None else f"{value:.4f} ± {spread:.4f} (standard error of the folds)"
            lines.append(f"| {name.replace('_', ' ')} | {shown} |")
        lines.append("")
    lines.append(f"Intervals and more: `mien evaluate pairs SET --embedder {card.name}`.")
    return "\n".join(lines)


def _making(card: Card, facts: PageFacts, measured: Measured) -> str:
    import torch

    batches = " and ".join(map(str, BATCHES))
    lines = [
        "## How it was made",
        "",
        f"With mien {__version__}, PyTorch {torch.__version__}, ONNX Runtime {import_onnxruntime().__version__} on "
        f"{platform.machine()}. ONNX opset {OPSET}, float32, any number of images at once. Batches of {batches} images "
        f"gave unit templates within {measured.difference:.1e} of PyTorch's; {TOLERANCE:g} is allowed. "
        f"The file's sha256 is `{card.file.sha256}`.",
    ]
    if facts.step is not None:
        lines += ["", f"The weights are those of step {facts.step:,}. {_told(facts.result)}".rstrip()]
    if facts.settings:
        import tomli_w

        lines += [
            "",
            "Settings of the run:",
            "",
            "```toml",
            tomli_w.dumps(_without_folders(facts.settings)).strip(),
            "```",
        ]
    return "\n".join(lines)


def _told(result: Mapping[str, Any]) -> str:
    """How the run ended, in a sentence; empty where it is not known."""
    if not {"steps", "images", "seconds"} <= result.keys():
        return ""
    return (
        f"The run had {result['steps']:,} steps in all, with {result['images']:,} images, "
        f"and took {result['seconds'] / 60:,.1f} minutes of training."
    )


def _without_folders(value: Any, key: str = "") -> Any:
    """The settings with the last part of each path alone: the others are the maker's own affair."""
    if isinstance(value, Mapping):
        return {name: _without_folders(each, name) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_folders(each, key) for each in value]
    return Path(value).name if key in _PATHS and isinstance(value, str) else value


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
