"""``mien gallery``: the group, and its commands that make, list, show and remove."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from mien.cli.asking import ask
from mien.cli.command import command
from mien.cli.gallery_models import fit_map, migrate
from mien.cli.gallery_transfer import export, import_
from mien.cli.gallery_upkeep import audit, check, compact, rotate_key
from mien.cli.opening import is_there
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.usage import PlainCommand
from mien.errors import GalleryError

if TYPE_CHECKING:
    from mien.galleries import GalleryOptions

__all__ = ["gallery"]

gallery = typer.Typer(
    name="gallery",
    no_args_is_help=True,
    help="Make galleries, look after them, and carry them to other places and models.",
)


@gallery.command(cls=PlainCommand)
@command
def create(
    output: Output,
    gallery: GalleryUrlOption,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="float32|int8|int8-only",
            help="How templates are kept and searched; int8-only takes a quarter of the room, at a small loss.",
        ),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(metavar="max|mean", help="An identity's score over its templates' scores."),
    ] = None,
    portraits: Annotated[
        bool, typer.Option("--portraits", help="Keep a picture of each enrolled face, for other models to come.")
    ] = False,
    audit: Annotated[
        str | None,
        typer.Option(metavar="off|changes|all", help="What is logged: enrolling and removing; all: searches too."),
    ] = None,
    audit_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Keep the log for so long; by default for ever.")
    ] = None,
    retention_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Erase templates that are older; by default none.")
    ] = None,
    encrypted: Annotated[
        bool, typer.Option("--encrypted", help="Encrypt templates, names, tags and portraits (AES-256-GCM).")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The key, 32 bytes; by default the variable MIEN_GALLERY_KEY."),
    ] = None,
) -> None:
    """Make an empty gallery, and settle how it keeps what it will hold.

    What is not given is as the URL says, or as usual. Enrolling makes a gallery too, where there is none.

    Example: mien gallery create --gallery sqlite:///people.db --codec int8 --portraits

    Example: mien gallery create --gallery sqlite:///people.db --encrypted --key-file people.key
    """
    from mien.galleries import open_gallery, parse_url

    given = {
        "codec": codec,
        "fusion": fusion,
        "portraits": "yes" if portraits else None,
        "audit": audit,
        "audit_days": None if audit_days is None else f"{audit_days:g}",
        "retention_days": None if retention_days is None else f"{retention_days:g}",
        "encrypted": "yes" if encrypted else None,
        "key_file": None if key_file is None else str(key_file),
    }
    url = with_options(gallery, {name: value for name, value in given.items() if value is not None})
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        raise typer.BadParameter("a memory: gallery is gone when the command ends", param_hint="--gallery")
    if is_there(gallery, parsed.name):
        raise GalleryError(f"{parsed.shown}: there is a gallery named {parsed.name!r} already")
    with open_gallery(url) as made:
        options = made.options
        output.result({"gallery": made.url, "name": made.name, **dataclasses.asdict(options)})
        output.say(f"made {made.name}: {_in_words(options)}")


def with_options(url: str, options: dict[str, str]) -> str:
    """A gallery URL with more options."""
    added = "&".join(f"{name}={quote(value, safe='/')}" for name, value in options.items())
    if not added:
        return url
    return f"{url}{'&' if '?' in url else '?'}{added}"


def _in_words(options: GalleryOptions) -> str:
    words = [f"codec {options.codec}", f"fusion {options.fusion}", f"audit {options.audit}"]
    if options.audit_days is not None:
        words.append(f"log kept for {options.audit_days:g} days")
    if options.retention_days is not None:
        words.append(f"templates kept for {options.retention_days:g} days")
    words += [word for word, on in (("portraits", options.portraits), ("encrypted", options.encrypted)) if on]
    return ", ".join(words)


@gallery.command("list", cls=PlainCommand)
@command
def list_(output: Output, gallery: GalleryUrlOption) -> None:
    """List the galleries in a file or on a server.

    Example: mien gallery list --gallery sqlite:///people.db
    """
    from mien.galleries import galleries_at

    output.columns("gallery", "identities", "templates", "mapped", "space", "options")
    for found in galleries_at(gallery):
        record: Record = {
            "name": found.name,
            "space": found.space,
            "identities": found.identities,
            "templates": found.templates,
            "mapped": found.mapped,
            "portraits": found.portraits,
            "target": found.target,
            "options": dataclasses.asdict(found.options),
        }
        space = "none yet" if found.space is None else found.space
        space += "" if found.target is None else f" (on its way to {found.target})"
        counts = (str(found.identities), str(found.templates), str(found.mapped))
        output.result(record, (found.name, *counts, space, _in_words(found.options)))


@gallery.command(cls=PlainCommand)
@command
def show(
    output: Output,
    gallery: GalleryUrlOption,
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Show this identity's templates and tags.")
    ] = None,
) -> None:
    """Show who is enrolled, with how many templates, and in which embedding space.

    Example: mien gallery show --gallery sqlite:///people.db

    Example: mien gallery show --gallery sqlite:///people.db --identity 'Ada Lovelace'
    """
    from mien.galleries import Migratable, open_gallery, parse_url

    if parse_url(gallery).scheme == "memory":
        output.note("a memory: gallery is new and empty in each command")
    with open_gallery(gallery, create=False) as people:
        if identity is not None:
            tags = people.tags(identity)
            output.columns("identity", "template", "tags")
            for template_id in people.templates(identity)[0]:
                record: Record = {"identity": identity, "template_id": template_id, "tags": tags}
                output.result(record, (identity, str(template_id), ", ".join(tags)))
            return
        names = people.identities()
        mapped = people.mapped() if isinstance(people, Migratable) else 0
        output.columns("identity", "templates")
        output.result(
            {
                "gallery": people.url,
                "name": people.name,
                "space": people.space,
                "identities": len(names),
                "templates": len(people),
                "mapped": mapped,
                "options": dataclasses.asdict(people.options),
            }
        )
        for name, count in names:
            output.result({"identity": name, "templates": count}, (name, str(count)))
        space = "no space yet" if people.space is None else f"space {people.space}"
        counts = f"identities {len(names)}, templates {len(people)}{f' ({mapped} of them mapped)' if mapped else ''}"
        output.say(f"{people.name}: {counts}, {space}; {_in_words(people.options)}")


@gallery.command(cls=PlainCommand)
@command
def remove(
    output: Output,
    gallery: GalleryUrlOption,
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Remove this identity and its templates.")
    ] = None,
    template: Annotated[
        int | None, typer.Option(metavar="ID", show_default=False, help="Remove this template alone.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove an identity, or one of its templates, for good.

    Example: mien gallery remove --gallery sqlite:///people.db --identity 'Ada Lovelace' --yes
    """
    from mien.galleries import open_gallery

    if (identity is None) == (template is None):
        raise typer.BadParameter("say what to remove: either --identity NAME or --template ID")
    with open_gallery(gallery, create=False) as people:
        if not yes:
            ask(f"Remove {f'identity {identity}' if template is None else f'template {template}'} from {people.url}?")
        if template is not None:
            people.remove_template(template)
            output.result({"template_id": template, "removed": 1})
            output.say(f"removed template {template}")
        elif identity is not None:
            count = people.remove_identity(identity)
            output.result({"identity": identity, "removed": count})
            output.say(f"removed {identity}, templates: {count}")


for _name, _function in {
    "export": export,
    "import": import_,
    "migrate": migrate,
    "fit-map": fit_map,
    "compact": compact,
    "audit": audit,
    "check": check,
    "rotate-key": rotate_key,
}.items():
    gallery.command(_name, cls=PlainCommand)(_function)
