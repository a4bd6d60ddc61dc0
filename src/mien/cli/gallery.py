"""``mien gallery``: the group, and its commands that list, show and remove."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.asking import ask
from mien.cli.command import command
from mien.cli.gallery_audit import audit
from mien.cli.gallery_making import create, in_words
from mien.cli.gallery_maps import fit_map
from mien.cli.gallery_models import migrate
from mien.cli.gallery_naming import delete, rename
from mien.cli.gallery_transfer import export, import_
from mien.cli.gallery_upkeep import check, compact, rotate_key
from mien.cli.migrations import migration_of, migration_words
from mien.cli.names import checked_identity
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.servers import Place
from mien.cli.usage import PlainCommand

if TYPE_CHECKING:
    from mien.galleries import GallerySummary
    from mien.galleries.exchange_rows import Migration

__all__ = ["gallery"]

gallery = typer.Typer(
    name="gallery",
    no_args_is_help=True,
    help="Make galleries, look after them, and carry them to other places and models.",
)


gallery.command(cls=PlainCommand)(create)


@gallery.command("list", cls=PlainCommand)
@command
def list_(
    output: Output,
    place: Place,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery", metavar="URL", show_default=False, help="Where they are, such as sqlite:///people.db"
        ),
    ] = None,
) -> None:
    """List the galleries in a file, a database or, with --server, on a mien server.

    Example: mien gallery list --gallery sqlite:///people.db
    """
    output.columns("gallery", "identities", "templates", "mapped", "space", "options")
    under_way: list[str] = []
    for found in place.galleries(gallery):
        migration = None if found.target is None else _migration(gallery, found)
        record: Record = {
            "name": found.name,
            "space": found.space,
            "identities": found.identities,
            "templates": found.templates,
            "mapped": found.mapped,
            "portraits": found.portraits,
            "target": found.target,
            "migrated": None if migration is None else migration.done,
            "options": dataclasses.asdict(found.options),
        }
        space = "none yet" if found.space is None else found.space
        counts = (str(found.identities), str(found.templates), str(found.mapped))
        output.result(record, (found.name, *counts, space, in_words(found.options)))
        if found.target is not None:
            under_way.append(f"{found.name}: {migration_words(found.target, migration)}")
    for line in under_way:
        output.say(line)


@gallery.command(cls=PlainCommand)
@command
def show(
    output: Output,
    place: Place,
    gallery: GalleryUrlOption,
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Show this identity's templates and tags.")
    ] = None,
) -> None:
    """Show who is enrolled, with how many templates, and in which embedding space.

    Example: mien gallery show --gallery sqlite:///people.db

    Example: mien gallery show --gallery sqlite:///people.db --identity 'Ada Lovelace'
    """
    from mien.galleries import parse_url

    if not place.remote and parse_url(gallery).scheme == "memory":
        output.note("a memory: gallery is new and empty in each command")
    identity = None if identity is None else checked_identity(identity)
    with place.open_gallery(gallery) as people:
        if identity is not None:
            tags = people.tags(identity)
            output.columns("identity", "template", "tags")
            for template_id in place.ids(people, identity):
                record: Record = {"identity": identity, "template_id": template_id, "tags": tags}
                output.result(record, (identity, str(template_id), ", ".join(tags)))
            return
        names = people.identities()
        mapped = place.mapped(people)
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
        output.say(f"{people.name}: {counts}, {space}; {in_words(people.options)}")


@gallery.command(cls=PlainCommand)
@command
def remove(
    output: Output,
    place: Place,
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
    if (identity is None) == (template is None):
        raise typer.BadParameter("say what to remove: either --identity NAME or --template ID")
    identity = None if identity is None else checked_identity(identity)
    with place.open_gallery(gallery) as people:
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


def _migration(url: str | None, found: GallerySummary) -> Migration | None:
    """How far a migration is: as the gallery itself says or, of a server's, as its list does."""
    if url is not None:
        return migration_of(url, found.name)
    from mien.galleries.exchange_rows import Migration

    left = found.templates - found.migrated
    return Migration(str(found.target), found.dimension or 0, None, found.migrated, left, 0)


for _name, _function in {
    "rename": rename,
    "delete": delete,
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
