"""``mien gallery rename`` and ``mien gallery delete``."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from mien.cli.asking import ask
from mien.cli.command import command
from mien.cli.names import checked_identity
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.servers import Place, named_gallery

__all__ = ["delete", "rename"]


@command
def rename(
    output: Output,
    place: Place,
    old: Annotated[str, typer.Argument(metavar="OLD", show_default=False, help="The name that the identity has.")],
    new: Annotated[str, typer.Argument(metavar="NEW", show_default=False, help="The name that it gets.")],
    gallery: GalleryUrlOption,
    merge: Annotated[
        bool, typer.Option("--merge", help="Where NEW is enrolled already, join the two: templates and tags of both.")
    ] = False,
) -> None:
    """Give an identity another name, or join it to another identity.

    Templates keep their ids. Without --merge, a NEW that is enrolled already is refused.

    Example: mien gallery rename 'Ada Byron' 'Ada Lovelace' --gallery sqlite:///people.db

    Example: mien gallery rename 'A. Lovelace' 'Ada Lovelace' --merge --gallery sqlite:///people.db
    """
    old, new = checked_identity(old, "OLD"), checked_identity(new, "NEW")
    with place.open_gallery(gallery) as people:
        count = people.rename(old, new, merge=merge)
    output.result({"identity": new, "former": old, "templates": count})
    output.say(f"{old} is now {new}, templates: {count}")


@command
def delete(
    output: Output,
    place: Place,
    gallery: GalleryUrlOption,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a whole gallery for good: everyone in it, its index and its audit log.

    Other galleries at that place stay. An encrypted gallery is deleted without its key.

    Example: mien gallery delete --gallery 'sqlite:///people.db?name=guests' --yes
    """
    from mien.galleries import parse_url, remove_gallery

    if place.remote:
        remote = named_gallery(place.client(), gallery)
        name, shown, erase = remote.name, remote.url, remote.delete
    else:
        parsed = parse_url(gallery)
        name, shown, erase = parsed.name, parsed.shown, partial(remove_gallery, gallery)
    if not yes:
        ask(f"Delete the gallery {name} at {shown}, and everyone in it?")
    removed = erase()
    output.result({"gallery": shown, "name": name, "removed": removed})
    output.say(f"deleted the gallery {name}, templates: {removed}")
