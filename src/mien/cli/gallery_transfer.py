"""``mien gallery export`` and ``mien gallery import``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.interrupts import Interruption
from mien.cli.names import checked_identity
from mien.cli.options import GalleryUrlOption, OverwriteOption
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.whole_files import require_place
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
    overwrite: OverwriteOption = False,
) -> None:
    """Write a gallery's templates to a Parquet or NumPy file, or one identity's whole record to a JSON file.

    The file's name decides: .parquet (needs pip install 'mien[parquet]') or .npz; with --identity, .json. A file that
    is there is left alone, unless --overwrite is given. The file is not encrypted, even if the gallery is.

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
    identity = None if identity is None else checked_identity(identity)
    require_place(out, overwrite=overwrite)
    with open_gallery(gallery, create=False) as people:
        if identity is not None:
            _export_identity(people, identity, out, output)
            return
        written = 0
        with output.progress("export", len(people), unit="templates") as advance:
            for step in export_templates(people, str(out), portraits=portraits):
                written += step
                advance(step)
        if portraits and not people.options.portraits:
            output.note(f"{people.name} keeps no portraits, so {out} has none")
        record: Record = {"out": str(out), "templates": written, "space": people.space, "codec": people.options.codec}
        output.result(record)
        output.say(f"{out}: templates {written}, space {people.space}")


def _export_identity(people: Gallery, identity: str, out: Path, output: Output) -> None:
    from mien.galleries.private_files import replacing_private
    from mien.galleries.upkeep import Exportable

    if not isinstance(people, Exportable):
        raise GalleryError(f"{people.url}: this kind of gallery has no record of an identity to export")
    held = people.export_identity(identity)
    text = json.dumps(held, indent=1, ensure_ascii=False) + "\n"
    with replacing_private(str(out)) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
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
    import that was interrupted is gone on with by the same command. Tags and portraits that such a template lacks are
    added.

    Example: mien gallery import people.parquet --gallery sqlite:///copy.db
    """
    from mien.galleries import open_gallery
    from mien.galleries.exchange import Imported, checked_templates, import_templates

    source = checked_templates(str(file))
    total, done = source.facts.templates, Imported()
    with open_gallery(gallery) as people, Interruption("templates") as stop:
        with output.progress("import", total, unit="templates") as advance:
            for part in stop.until_asked(import_templates(people, source)):
                done += part
                advance(part.templates)
        name, space = people.name, people.space
    if done.templates < total:
        output.note(
            f"interrupted: {done.taken} templates were taken in and are stored, {total - done.templates} are left; "
            "run the same command again to go on"
        )
        raise typer.Exit(INTERRUPTED)
    if done.portraits_dropped:
        output.note(f"portraits left out: {done.portraits_dropped}, since {name} was not made to keep them")
    output.result(
        {
            "file": str(file),
            "templates": done.taken,
            "skipped": done.known + done.too_old,
            "repeated": done.repeated,
            "too_old": done.too_old,
            "portraits_dropped": done.portraits_dropped,
            "space": space,
        }
    )
    repeated = f" ({done.repeated} of them equal to another in the file)" if done.repeated else ""
    old = f", {done.too_old} older than {name} keeps them" if done.too_old else ""
    output.say(f"{file}: templates {done.taken} taken in{repeated}, {done.known} there already{old}, space {space}")
