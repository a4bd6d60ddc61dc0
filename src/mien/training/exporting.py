"""From trained weights to a model that production loads: an ONNX file, its card, and a page about it.

    exported = export_run(read_run(Path("runs/first")), Path("models/first"))

writes ``first.onnx``, ``first.toml`` and ``MODEL.md``; ``mien models add`` takes the first two.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mien.errors import BadCheckpoint, BadInput, OutputError, RuntimeFailed
from mien.training.backbones import BACKBONES, Backbone
from mien.training.data.aligning import arcface_points
from mien.training.model_pages import Measured, PageFacts, model_page
from mien.training.onnx_files import TOLERANCE, largest_difference, rounding, write_onnx
from mien.training.profiling import count_backbone
from mien.training.provenance import choose_license, data_facts, lineage, sources_of
from mien.training.runs import RESULT, Trained
from mien.training.settings_files import to_tables
from mien.training.weights import load_backbone, read_weights
from mien.zoo import Card, EmbeddingFacts, FileFacts, InputFacts, LicenseFacts
from mien.zoo.cache import sha256_of
from mien.zoo.registry import is_builtin
from mien.zoo.schema import Point, is_name, to_toml

__all__ = ["Exported", "Wishes", "export_run", "export_weights"]

PAGE = "MODEL.md"
_CENTER = 127.5
_THRESHOLD, _THRESHOLD_NOTE = (
    0.4,
    ("a cautious start that was not measured on this model; calibrate it (mien calibrate) before relying on it"),
)
_RATE = "threshold_at_fmr_0.001"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the maker of a model says about it.

    Attributes:
        name: the model's; None for that of the folder or file it comes from.
        license_id: of the weights; None to derive it from the data and the teacher.
        commercial: that commercial use is allowed, where that does not follow from the licenses.
        overwrite: replace files that are there.
    """

    name: str | None = None
    license_id: str | None = None
    commercial: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        card: the model's.
        onnx: the ONNX file.
        toml: the card's file.
        page: the model's page.
        difference: the largest one between unit templates of the ONNX file and of PyTorch.
    """

    card: Card
    onnx: Path
    toml: Path
    page: Path
    difference: float


def export_run(trained: Trained, out: Path, wishes: Wishes | None = None) -> Exported:
    """Write a run's weights as a model.

    Args:
        trained: as ``mien.training.runs.read_run`` gives it.
        out: the folder to write to; made if need be.
        wishes: name and terms; None for those that follow from the run.

    Raises:
        BadCheckpoint: the weights do not fit the run's network, or are not finite.
        BadInput: the name cannot be a model's.
        LicenseRefused: commercial use was to be allowed against the terms of the data or of the teacher.
        OutputError: a file is there already, or cannot be written.
        RuntimeFailed: the ONNX file's templates are not PyTorch's.
    """
    settings = trained.settings
    wanted = settings.backbone
    backbone = load_backbone(trained.weights, wanted.name, wanted.dimension, origin=str(trained.path))
    runs, lost = lineage(settings)
    data = data_facts([pack for run in runs for pack in run.data.packs])
    sources = sources_of(runs, lost, data)
    result = _result(trained)
    figures = trained.figures or _figures_of_the_end(trained, result)
    known = [each for each in data if not each.problem]
    told = f"{sum(e.images for e in known):,} images of {sum(e.people for e in known):,} people" if known else "a pack"
    teacher = "" if settings.distillation is None else f", taught by {settings.distillation.teacher}"
    return _write(
        backbone,
        out,
        wishes or Wishes(),
        trained.path.absolute().name,
        f"{wanted.name} trained with mien ({settings.loss.name}{teacher}): {trained.step:,} steps on {told}.",
        PageFacts(
            network=wanted.name,
            paper=BACKBONES[wanted.name].paper,
            figures=figures,
            data=data,
            sources=sources,
            settings=to_tables(settings),
            step=trained.step,
            result=result,
            note=settings.note,
        ),
    )


def export_weights(
    file: Path, network: str, out: Path, *, dimension: int = 512, wishes: Wishes | None = None
) -> Exported:
    """Write weights without a run as a model.

    Args:
        file: as for ``read_weights``.
        network: see ``mien.training.backbones.BACKBONES``.
        out: the folder to write to; made if need be.
        dimension: numbers in a feature vector.
        wishes: as for ``export_run``.

    Raises:
        BadCheckpoint: the file holds no weights, or those of another network.
        BadSettings: there is no such network.
        MienError: as ``export_run``.
    """
    backbone = load_backbone(read_weights(file), network, dimension, origin=str(file))
    facts = PageFacts(network=network, paper=BACKBONES[network].paper)
    return _write(backbone, out, wishes or Wishes(), file.stem, f"{network} trained with mien.", facts)


def _write(
    backbone: Backbone, out: Path, wishes: Wishes, default_name: str, description: str, facts: PageFacts
) -> Exported:
    """Write the three files; they appear when all are done."""
    name = _name(wishes.name, default_name)
    terms = choose_license(facts.sources, wishes.license_id, commercial=wishes.commercial)
    targets = [out / f"{name}.onnx", out / f"{name}.toml", out / PAGE]
    there = [target.name for target in targets if target.exists()]
    if there and not wishes.overwrite:
        raise OutputError(f"{out} holds {', '.join(there)} already; --overwrite replaces it")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as work:
            parts = [Path(work) / target.name for target in targets]
            write_onnx(backbone, parts[0])
            difference = largest_difference(backbone, parts[0])
            if difference > TOLERANCE:
                raise RuntimeFailed(
                    f"{name}: expected templates within {TOLERANCE:g} of PyTorch's, "
                    f"the ONNX file's differ by {difference:.2g}, and PyTorch's own in double precision by "
                    f"{rounding(backbone):.2g}"
                )
            card = _card(name, backbone, parts[0], terms, facts, description)
            page = model_page(card, facts, Measured(*count_backbone(backbone), difference))
            # Without sources, "mien models add" notes the file that it is given.
            parts[1].write_text(to_toml(card).replace("sources = []\n", ""), encoding="utf-8")
            parts[2].write_text(page, encoding="utf-8")
            for part, target in zip(parts, targets, strict=True):
                os.replace(part, target)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    return Exported(card, targets[0], targets[1], targets[2], difference)


def _card(name: str, backbone: Backbone, file: Path, terms: LicenseFacts, facts: PageFacts, description: str) -> Card:
    threshold, note = _threshold(facts)
    points = tuple((round(float(x), 4), round(float(y), 4)) for x, y in arcface_points(backbone.size))
    return Card(
        name=name,
        task="embedder",
        family="arcface",
        description=description,
        file=FileFacts(sha256=sha256_of(file), size_bytes=file.stat().st_size),
        license=terms,
        input=InputFacts(size=backbone.size, color="rgb", mean=(_CENTER, _CENTER, _CENTER), scale=1 / _CENTER),
        embedding=EmbeddingFacts(
            dimension=backbone.dimension,
            points=cast("tuple[Point, Point, Point, Point, Point]", points),
            threshold=threshold,
            threshold_note=note,
        ),
    )


def _threshold(facts: PageFacts) -> tuple[float, str]:
    """The score from which two templates match, and where it comes from."""
    for protocol, figures in facts.figures.items():
        if _RATE in figures:
            limit = min(1.0, max(-1.0, round(figures[_RATE], 4)))
            return limit, f"false match rate 0.001 on {protocol}, evaluated in training at step {facts.step}"
    return _THRESHOLD, _THRESHOLD_NOTE


def _name(wish: str | None, default: str) -> str:
    name = default.lower().replace(" ", "-") if wish is None else wish
    if not is_name(name):
        raise BadInput(f"name: expected 1 to 64 of a-z 0-9 . _ -, the first a letter or a digit, got {name!r} (--name)")
    if is_builtin(name):
        raise BadInput(f"name: mien has a model called {name!r}; choose another (--name)")
    return name


def _result(trained: Trained) -> dict[str, Any]:
    """How the run ended; empty where it has not."""
    file = trained.path / RESULT
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{file}: is damaged: {error}") from error
    return content if isinstance(content, dict) else {}


def _figures_of_the_end(trained: Trained, result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The last evaluation's figures, if it was of these weights."""
    figures = result.get("evaluation", {}) if result.get("steps") == trained.step else {}
    return cast("dict[str, dict[str, float]]", figures)
