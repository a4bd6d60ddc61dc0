"""``mien gallery export`` and ``mien gallery import``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.interrupts import Interruption
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.whole_files import replacing
from mien.errors import GalleryError

if TYPE_CHECKING:
    from mien.galleries import Gallery

__all__ = ["export", "import_"]


@command
def export(
    output: Output,
    gallery: GalleryUrlOption,
    out: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, show_default=False, help="The file to write.")],
    identity: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="Write all that is held about this identity, as JSON."),
    ] = None,
    portraits: Annotated[
        bool, typer.Option("--portraits", help="Write the portraits too, where the gallery keeps them (.parquet).")
    ] = False,
) -> None:
    """Write a gallery's templates to a Parquet or NumPy file, or one identity's whole record to a JSON file.

    The file's name decides: .parquet (needs pip install 'mien[parquet]') or .npz; with --identity, .json. The file is
    not encrypted, even if the gallery is.

    Example: mien gallery export --gallery sqlite:///people.db --out people.parquet

    Example: mien gallery export --gallery sqlite:///people.db --identity 'Ada Lovelace' --out ada.json
    """
    from mien.galleries import open_gallery
    from mien.galleries.exchange import SUFFIXES, export_templates

    suffix = out.suffix.lower()
    wanted = SUFFIXES if identity is None else (".json",)
    if suffix not in wanted:
        expected = " or ".join(wanted)
        raise typer.BadParameter(f"expected a name that ends in {expected}, got {str(out)!r}", param_hint="--out")
    if portraits and suffix != ".parquet":
        raise typer.BadParameter("portraits go into .parquet files; one identity's record has them anyway")
    with open_gallery(gallery, create=False) as people:
        if identity is not None:
            _export_identity(people, identity, out, output)
            return
        written = 0
        with replacing(out) as temporary, output.progress("export", len(people), unit="templates") as advance:
            for step in export_templates(people, str(temporary), portraits=portraits):
                written += step
                advance(step)
        record: Record = {"out": str(out), "templates": written, "space": people.space, "codec": people.options.codec}
        output.result(record)
        output.say(f"{out}: templates {written}, space {people.space}")


def _export_identity(people: Gallery, identity: str, out: Path, output: Output) -> None:
    from mien.galleries.upkeep import Exportable

    if not isinstance(people, Exportable):
        raise GalleryError(f"{people.url}: this kind of gallery has no record of an identity to export")
    held = people.export_identity(identity)
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    count = len(held["templates"])
    output.result({"out": str(out), "identity": identity, "templates": count})
    output.say(f"{out}: all that is held about {identity}, templates {count}")


@command
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", dir_okay=False, show_default=False, help="A .parquet or .npz file of templates."
        ),
    ],
    output: Output,
    gallery: GalleryUrlOption,
) -> None:
    """Store the templates of a file in a gallery; where there is none, one is made.

    A file that mien gallery export wrote, or any Parquet file with columns identity, vector and space. All of it is
    checked before anything is stored. Templates get new ids; one that its identity has already is skipped, so an
    import that was interrupted is gone on with by the same command.

    Example: mien gallery import people.parquet --gallery sqlite:///copy.db
    """
    from mien.galleries import open_gallery
    from mien.galleries.exchange import checked_templates, import_templates

    source = checked_templates(str(file))
    taken = skipped = 0
    with open_gallery(gallery) as people, Interruption() as stop:
        with output.progress("import", source.facts.templates, unit="templates") as advance:
            for new, known in stop.until_asked(import_templates(people, source)):
                taken, skipped = taken + new, skipped + known
                advance(new + known)
        record: Record = {"file": str(file), "templates": taken, "skipped": skipped, "space": people.space}
    if stop.asked and taken + skipped < source.facts.templates:
        output.note(f"interrupted: templates {taken} are stored; run the same command again to go on")
        raise typer.Exit(INTERRUPTED)
    output.result(record)
    output.say(f"{file}: templates {taken} taken in, {skipped} there already, space {record['space']}")
