"""``mien gallery``: the group, and its commands that list, show and remove."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from mien.cli.asking import ask
from mien.cli.command import command
from mien.cli.gallery_audit import audit
from mien.cli.gallery_making import create, in_words
from mien.cli.gallery_maps import fit_map
from mien.cli.gallery_models import migrate
from mien.cli.gallery_transfer import export, import_
from mien.cli.gallery_upkeep import check, compact, rotate_key
from mien.cli.migrations import migration_of, migration_words
from mien.cli.names import checked_identity
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.usage import PlainCommand

__all__ = ["gallery"]

gallery = typer.Typer(
    name="gallery",
    no_args_is_help=True,
    help="Make galleries, look after them, and carry them to other places and models.",
)


gallery.command(cls=PlainCommand)(create)


@gallery.command("list", cls=PlainCommand)
@command
def list_(output: Output, gallery: GalleryUrlOption) -> None:
    """List the galleries in a file or on a server.

    Example: mien gallery list --gallery sqlite:///people.db
    """
    from mien.galleries import galleries_at

    output.columns("gallery", "identities", "templates", "mapped", "space", "options")
    under_way: list[str] = []
    for found in galleries_at(gallery):
        migration = None if found.target is None else migration_of(gallery, found.name)
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
    identity = None if identity is None else checked_identity(identity)
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
        output.say(f"{people.name}: {counts}, {space}; {in_words(people.options)}")


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
    identity = None if identity is None else checked_identity(identity)
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
