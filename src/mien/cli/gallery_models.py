"""``mien gallery migrate`` and ``mien gallery fit-map``: from one embedding model to another."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.asking import ask
from mien.cli.command import INTERRUPTED, command
from mien.cli.inputs import Photo, people_in
from mien.cli.interrupts import Interruption
from mien.cli.options import GalleryUrlOption, Tuning
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.whole_files import replacing
from mien.errors import GalleryError, MienError

if TYPE_CHECKING:
    from mien.galleries.exchange_rows import Migratable, Migration
    from mien.matching.mapping import SpaceMap
    from mien.recognizer import Recognizer
    from mien.types import Templates

__all__ = ["fit_map", "migrate"]


def _recognizer(tuning: Tuning, embedder: str) -> Recognizer:
    if tuning.embedder is not None:
        raise typer.BadParameter("the models are named elsewhere in this command", param_hint="--embedder")
    return dataclasses.replace(tuning, embedder=embedder).recognizer()


@command
def migrate(
    tuning: Tuning,
    output: Output,
    gallery: GalleryUrlOption,
    to: Annotated[str, typer.Option("--to", metavar="CARD", show_default=False, help="The model to move to.")],
    map_file: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="For templates without a portrait: a map that mien gallery fit-map made.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before templates are mapped.")] = False,
) -> None:
    """Move a whole gallery to another embedding model, without the photos.

    A template is made anew from the portrait that was kept with it (gallery create --portraits). One without a portrait
    is moved by a learned map, marked as mapped, and gone for good in its old form. The gallery can be searched and
    enrolled in until the last template is done; then it switches, all at once.

    Run the same command again after an interruption: it goes on where it stopped.

    Example: mien gallery migrate --gallery sqlite:///people.db --to sface

    Example: mien gallery migrate --gallery sqlite:///people.db --to sface --map dlib-to-sface.npz
    """
    from mien.galleries import Migratable, open_gallery
    from mien.matching.mapping import SpaceMap
    from mien.recognizer.migrating import begin_migration
    from mien.recognizer.migrating import migrate as steps

    embedder = _recognizer(tuning, to).embedder
    space_map = None if map_file is None else SpaceMap.load(map_file)
    with open_gallery(gallery, create=False) as people:
        if not isinstance(people, Migratable):
            raise GalleryError(f"{people.url}: this kind of gallery cannot be moved to another model")
        before = people.space
        state = begin_migration(people, embedder, space_map)
        if space_map is not None and state.left_without_portrait and not yes:
            _ask_about(people, space_map, state)
        total = state.done + state.left
        with Interruption() as stop, output.progress("migrate", total, unit="templates") as advance:
            advance(state.done)
            for step in stop.until_asked(steps(people, embedder, space_map)):
                advance(step)
        after, mapped = people.space, people.mapped()
        if after != embedder.space:
            left = people.migration()
            count = "some" if left is None else left.left
            output.note(f"interrupted: templates left {count}; the gallery is as it was; the same command goes on")
            raise typer.Exit(INTERRUPTED)
        output.result({"gallery": people.url, "from": before, "to": after, "templates": len(people), "mapped": mapped})
        output.say(f"{people.name}: moved from {before} to {after}, templates {len(people)}, {mapped} of them mapped")


def _ask_about(people: Migratable, space_map: SpaceMap, state: Migration) -> None:
    loss = space_map.loss
    try:
        ask(
            f"Map {state.left_without_portrait} templates? Their old form is then gone. On the people that the map was "
            f"measured on, the share of mated pairs that match at a false match rate of {loss.fmr:g} was "
            f"{loss.old.tmr:.3f} before and {loss.mapped_new.tmr:.3f} after."
        )
    except BaseException:
        if state.done == 0:
            people.abandon_migration()
        raise


@command
def fit_map(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", show_default=False, help="A folder with a folder of images for each person.")
    ],
    tuning: Tuning,
    output: Output,
    source: Annotated[str, typer.Option("--from", metavar="CARD", show_default=False, help="The model to map from.")],
    target: Annotated[str, typer.Option("--to", metavar="CARD", show_default=False, help="The model to map to.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, show_default=False, help="The .npz file to write.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of the people that are held out.")] = 0,
) -> None:
    """Learn a map between the templates of two models, and measure what it loses.

    Any people will do, the more the better: hundreds, with several images each. Three tenths of them are held out, and
    on them alone the loss is measured: which share of the mated pairs match at a false match rate of 0.001, before and
    after.

    Example: mien gallery fit-map faces/ --from dlib-resnet --to sface --out dlib-to-sface.npz
    """
    from mien.matching.mapping import fit_map as fitted
    from mien.recognizer.pairing import paired_templates

    if out.suffix != ".npz":
        raise typer.BadParameter(f"expected a name that ends in .npz, got {str(out)!r}", param_hint="--out")
    old, new = _recognizer(tuning, source), _recognizer(tuning, target)
    items = list(people_in([folder], output, hint=""))
    fed: deque[tuple[str, Photo]] = deque()

    def feed() -> Iterator[str]:
        for item in items:
            fed.append(item)
            yield item[1].path

    pairs: list[tuple[Templates, Templates]] = []
    people: list[str] = []
    with output.progress("fit-map", len(items)) as advance:
        for outcome in paired_templates(old, new, feed()):
            name, photo = fed.popleft()
            if isinstance(outcome.result, MienError):
                output.failure({"image": photo.path, "identity": name}, outcome.result, late=True)
            else:
                pairs.append(outcome.result)
                people.append(name)
            advance(1)
    olds, news = (_together([pair[k] for pair in pairs], r) for k, r in enumerate((old, new)))
    made = fitted(olds, news, people, seed=seed)
    with replacing(out) as temporary:
        made.save(temporary)
    _tell(made, out, output)


def _together(templates: list[Templates], recognizer: Recognizer) -> Templates:
    import numpy as np

    from mien.types import Templates as Made

    none = np.empty((0, recognizer.embedder.dimension), np.float32)
    return Made(np.concatenate([none, *(t.vectors for t in templates)]), recognizer.space)


def _tell(made: SpaceMap, out: Path, output: Output) -> None:
    loss = made.loss
    output.columns("held-out pairs", "matched", "threshold", "mated", "non-mated")
    rates = {"old with old": loss.old, "new with new": loss.new, "mapped with new": loss.mapped_new}
    rows = [
        (name, f"{rate.tmr:.4f}", f"{rate.threshold:.3f}", str(rate.mated), str(rate.non_mated))
        for name, rate in {**rates, "mapped with mapped": loss.mapped}.items()
    ]
    record: Record = {
        "out": str(out),
        "from": made.source,
        "to": made.target,
        "kind": made.kind,
        "people": made.people,
        "pairs": made.pairs,
        "loss": dataclasses.asdict(loss),
    }
    output.result(record, *rows)
    output.say(
        f"{out}: {made.source} to {made.target}, {made.kind}, fitted on {made.pairs} faces of {made.people} people, "
        f"measured on {loss.templates} faces of {loss.people} others at a false match rate of {loss.fmr:g}"
    )
