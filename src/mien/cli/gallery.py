"""``mien gallery``: show and remove."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mien.cli.command import command
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.usage import PlainCommand

__all__ = ["gallery"]

gallery = typer.Typer(name="gallery", no_args_is_help=True, help="Show who is enrolled in a gallery, and remove them.")


@gallery.command(cls=PlainCommand)
@command
def show(
    output: Output,
    gallery: GalleryUrlOption,
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Show this identity's templates.")
    ] = None,
) -> None:
    """Show who is enrolled, with how many templates, and in which embedding space.

    Example: mien gallery show --gallery sqlite:///people.db

    Example: mien gallery show --gallery sqlite:///people.db --identity 'Ada Lovelace'
    """
    from mien.galleries import open_gallery, parse_url

    if parse_url(gallery).scheme == "memory":
        output.note("a memory: gallery is new and empty in each command")
    with open_gallery(gallery, create=False) as people:
        if identity is not None:
            output.columns("identity", "template")
            for template_id in people.templates(identity)[0]:
                output.result({"identity": identity, "template_id": template_id}, (identity, str(template_id)))
            return
        names = people.identities()
        output.columns("identity", "templates")
        output.result(
            {
                "gallery": gallery,
                "name": people.name,
                "space": people.space,
                "identities": len(names),
                "templates": len(people),
            }
        )
        for name, count in names:
            output.result({"identity": name, "templates": count}, (name, str(count)))
        space = "no space yet" if people.space is None else f"space {people.space}"
        output.say(f"{people.name}: identities {len(names)}, templates {len(people)}, {space}")


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
            _ask(f"Remove {f'identity {identity}' if template is None else f'template {template}'} from {gallery}?")
        if template is not None:
            people.remove_template(template)
            output.result({"template_id": template, "removed": 1})
            output.say(f"removed template {template}")
        elif identity is not None:
            count = people.remove_identity(identity)
            output.result({"identity": identity, "removed": count})
            output.say(f"removed {identity}, templates: {count}")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("give --yes where nobody can be asked")
    if not typer.confirm(question, err=True):
        raise typer.Abort
