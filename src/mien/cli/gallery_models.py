"""``mien gallery migrate``: from one embedding model to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.asking import ask
from mien.cli.command import INTERRUPTED, command
from mien.cli.interrupts import Interruption
from mien.cli.options import GalleryUrlOption, TuningOfEmbedder
from mien.cli.output import Output
from mien.errors import GalleryError

if TYPE_CHECKING:
    from mien.galleries import Gallery, Migratable
    from mien.galleries.exchange_rows import Migration
    from mien.matching.mapping import SpaceMap

__all__ = ["migrate"]


@command
def migrate(
    tuning: TuningOfEmbedder,
    output: Output,
    gallery: GalleryUrlOption,
    to: Annotated[
        str | None, typer.Option("--to", metavar="CARD", show_default=False, help="The model to move to.")
    ] = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up a migration that is half done, and drop what it has made.")
    ] = False,
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before mapping or abandoning.")] = False,
) -> None:
    """Move a whole gallery to another embedding model, without the photos.

    A template is made anew from the portrait that was kept with it (gallery create --portraits). One without a portrait
    is moved by a learned map, marked as mapped, and gone for good in its old form. The gallery can be searched and
    enrolled in until the last template is done; then it switches, all at once.

    Run the same command again after an interruption: it goes on where it stopped. Or give it up with --abandon: the
    gallery stays in its old space, with all that it had. Until then a migration to another model is refused.

    Example: mien gallery migrate --gallery sqlite:///people.db --to sface

    Example: mien gallery migrate --gallery sqlite:///people.db --to sface --map dlib-to-sface.npz

    Example: mien gallery migrate --gallery sqlite:///people.db --abandon
    """
    from mien.galleries import open_gallery
    from mien.matching.mapping import SpaceMap
    from mien.recognizer.migrating import migrate as steps
    from mien.recognizer.migrating import plan_migration

    if abandon or to is None:
        if to is not None or map_file is not None:
            raise typer.BadParameter("goes with no --to and no --map", param_hint="--abandon")
        if not abandon:
            raise typer.BadParameter("say what to do: either --to CARD or --abandon")
        _abandon(gallery, output, yes)
        return
    embedder = tuning.embedder(to)
    space_map = None if map_file is None else SpaceMap.load(map_file)
    with open_gallery(gallery, create=False) as opened:
        people, before = _migratable(opened), opened.space
        # Who declines, or is refused, finds the gallery as it was.
        state = plan_migration(people, embedder, space_map)
        if space_map is not None and state.left_without_portrait and not yes:
            _ask_about(space_map, state)
        with Interruption("templates") as stop, output.progress("migrate", state.total, unit="templates") as advance:
            advance(state.done)
            for step in stop.until_asked(steps(people, embedder, space_map)):
                advance(step)
        after, mapped = people.space, people.mapped()
        if after != embedder.space:
            _tell_interrupted(people.migration(), before, output)
            raise typer.Exit(INTERRUPTED)
        count = len(opened)
        output.result({"gallery": opened.url, "from": before, "to": after, "templates": count, "mapped": mapped})
        output.say(f"{opened.name}: moved from {before} to {after}, templates {count}, {mapped} of them mapped")


def _migratable(gallery: Gallery) -> Migratable:
    from mien.galleries import Migratable

    if not isinstance(gallery, Migratable):
        raise GalleryError(f"{gallery.url}: this kind of gallery cannot be moved to another model")
    return gallery


def _tell_interrupted(state: Migration | None, space: str | None, output: Output) -> None:
    counts = "" if state is None else f"{state.done} of {state.done + state.left} templates are done; "
    output.note(
        f"interrupted: {counts}until all are, the gallery works with {space} as before; "
        "run the same command again to go on, or give it up with --abandon"
    )


def _abandon(url: str, output: Output, yes: bool) -> None:
    """Give up the migration that a gallery is in."""
    from mien.galleries import open_gallery

    with open_gallery(url, create=False) as opened:
        people = _migratable(opened)
        state = people.migration()
        if state is None:
            raise GalleryError(f"{opened.url}: no migration is under way, so there is none to abandon")
        done = f"{state.done} of {state.done + state.left}"
        if not yes:
            ask(f"Abandon the migration of {opened.url} to {state.target}, with {done} templates done?")
        people.abandon_migration()
        output.result({"gallery": opened.url, "space": opened.space, "abandoned": state.target, "dropped": state.done})
        output.say(f"{opened.name}: stays in {opened.space}; abandoned {state.target}, with {done} templates done")


def _ask_about(space_map: SpaceMap, state: Migration) -> None:
    loss = space_map.loss
    ask(
        f"Map {state.left_without_portrait} templates? Their old form is then gone. On the people that the map was "
        f"measured on, the share of mated pairs that match at a false match rate of {loss.fmr:g} was "
        f"{loss.old.tmr:.3f} before and {loss.mapped_new.tmr:.3f} after."
    )
