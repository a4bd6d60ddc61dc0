"""``mien data``: the group, and its commands that make packs of training images and look at them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import INTERRUPTED, command
from mien.cli.data_cleaning import clean, merge
from mien.cli.data_preview import preview
from mien.cli.data_tables import show_refused, show_statistics
from mien.cli.interrupts import Interruption
from mien.cli.options import Tuning
from mien.cli.output import Output
from mien.cli.usage import PlainCommand

if TYPE_CHECKING:
    from mien.evaluation import FaceRule
    from mien.training.data.preparing import Encoding, PackSettings

__all__ = ["data_app"]

data_app = typer.Typer(
    name="data", no_args_is_help=True, help="Pack, look at, merge and clean sets of images to train with."
)

_MOST_WORKERS = 4

_Source = Annotated[
    Path,
    typer.Argument(
        metavar="SRC",
        show_default=False,
        help="A folder with a folder of images for each person; a table with the columns image and identity; a "
        "RecordIO file NAME.rec, or a folder with train.rec.",
    ),
]
_Pack = Annotated[Path, typer.Argument(metavar="PACK", show_default=False, help="A pack's folder, or an index.")]
_Size = Annotated[int, typer.Option(min=16, max=2048, help="Side of the chips in pixels.")]
_Encoding = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="jpeg|png",
        help="Of what has to be encoded: JPEG of quality 95, or PNG, which loses nothing.",
    ),
]
_Face = Annotated[
    str,
    typer.Option(
        metavar="central|largest|single",
        help="Which face of several: the large one near the middle, the largest, or none (several are a failure).",
    ),
]
_License = Annotated[
    str,
    typer.Option("--license", metavar="TEXT", help="The license of images that have none in a column license."),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        show_default=False,
        help="Threads, or with alignment processes that find faces with one thread each; by default one process finds "
        "them with all cores, and four threads do the rest.",
    ),
]


@command
def pack(
    source: _Source,
    out: Annotated[Path, typer.Option(metavar="DIR", file_okay=False, show_default=False, help="The pack's folder.")],
    tuning: Tuning,
    output: Output,
    align: Annotated[bool, typer.Option("--align", help="Find the face of each photo, and store its chip.")] = False,
    aligned: Annotated[
        bool,
        typer.Option("--aligned", help="The images are aligned already: as they are stored, if they have the size."),
    ] = False,
    size: _Size = 112,
    encoding: _Encoding = "jpeg",
    face: _Face = "central",
    quality: Annotated[bool, typer.Option("--quality", help="Measure the unified quality of each chip.")] = False,
    license_: _License = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="A note for who finds the pack.")] = "",
    shard_mb: Annotated[int, typer.Option(min=1, max=1 << 20, help="A shard is closed at this size, in MB.")] = 1024,
    workers: _Workers = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the pack that is there, and begin anew.")
    ] = False,
) -> None:
    """Pack images to train with: tar shards that hold each image once, and an index, which is cheap to rewrite.

    Without --align or --aligned photos are stored as they are. JPEG and PNG files are stored byte for byte unless they
    are to be cut, turned or scaled. Images that cannot be read, or show no face where one is to be cut, are left out;
    failures.csv beside the index names them, and the exit code is 1.

    After Ctrl-C, a full disk or a kill the same command goes on: no image is lost, and none is in the pack twice.

    Example: mien data pack photos/ --align --out packs/photos

    Example: mien data pack faces_emore/ --aligned --out packs/emore --license 'research only'

    Example: mien data pack images.csv --aligned --size 96 --out packs/small
    """
    from mien.training.requirements import need_parquet

    need_parquet()
    from mien.training.data.folders import open_listing
    from mien.training.data.packing import FAILURES_FILE, remove_pack, require_room
    from mien.training.data.packing import pack as pack_listing

    if align and aligned:
        raise typer.BadParameter("expected one of --align and --aligned", param_hint="--aligned")
    if quality and not (align or aligned):
        raise typer.BadParameter("expected --align or --aligned beside it", param_hint="--quality")
    settings = _settings(
        "align" if align else "aligned" if aligned else "as-is", size, encoding, face, license_, workers
    )
    settings = dataclasses.replace(settings, quality=quality, note=note, shard_bytes=shard_mb * 1_000_000)
    listing = open_listing(source)
    if overwrite:
        remove_pack(out)
    require_room(out)
    recognizer = tuning.recognizer() if align else None
    with Interruption() as stop, output.progress("pack", len(listing)) as advance:
        report = pack_listing(
            listing, out, settings, recognizer=recognizer, progress=advance, stopped=lambda: stop.asked
        )
    if not report.complete:
        output.note(
            f"interrupted: {report.done} of {len(listing)} images are dealt with; the same command goes on from there"
        )
        raise typer.Exit(INTERRUPTED)
    show_refused(report.refused, output)
    done_here = report.done - report.resumed
    output.result(
        {
            "pack": str(out),
            "images": report.images,
            "identities": report.identities,
            "refused": report.reasons,
            "resumed": report.resumed,
            "seconds": round(report.seconds, 3),
            "images_per_second": round(done_here / report.seconds, 1),
        }
    )
    output.say(
        f"{out}: {report.images} images of {report.identities} people, {len(report.refused)} left out"
        f"{f' (see {out / FAILURES_FILE})' if report.refused else ''}; {done_here / report.seconds:.0f} images a second"
    )


@command
def unpack(
    pack: _Pack,
    out: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, show_default=False, help="A new or empty folder.")
    ],
    output: Output,
) -> None:
    """Write a pack's images as files, byte for byte: a folder for each person, and a table that can be packed again.

    Example: mien data unpack packs/photos --out photos-aligned
    """
    from mien.training.data.index import read_index
    from mien.training.data.unpacking import IMAGES_FILE
    from mien.training.data.unpacking import unpack as unpack_index

    index = read_index(pack)
    with output.progress("unpack", len(index)) as advance:
        failed = unpack_index(index, out, advance)
    for name, error in failed:
        output.failure({"image": name}, error)
    written = len(index) - len(failed)
    output.result({"pack": str(pack), "out": str(out), "images": written, "identities": index.classes})
    output.say(f"{out}: {written} images of {index.classes} people, and {IMAGES_FILE}")


@command
def stats(
    pack: _Pack,
    output: Output,
    top: Annotated[int, typer.Option(min=1, help="How many people and sizes to name.")] = 10,
) -> None:
    """Tell what is in a pack: images, people, images a person, sizes, quality, licenses, duplicates.

    Duplicates are images of the very same bytes; mien data clean finds those that only look the same.

    Example: mien data stats packs/photos --json
    """
    from mien.training.data.index import read_index
    from mien.training.data.statistics import statistics

    found = statistics(read_index(pack), top=top)
    output.result({"pack": str(pack), **dataclasses.asdict(found)})
    if not output.json_lines:
        show_statistics(str(pack), found, output)


@command
def align(
    source: _Source,
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", file_okay=False, show_default=False, help="A new or empty folder, or one to go on with."
        ),
    ],
    tuning: Tuning,
    output: Output,
    size: _Size = 112,
    encoding: _Encoding = "png",
    face: _Face = "central",
    license_: _License = "",
    workers: _Workers = None,
) -> None:
    """Cut the face out of each photo, aligned: a folder for each person, and a table of landmarks, to be packed later.

    Photos without a face are named with the reason, in failures.csv too, and the exit code is 1.

    After Ctrl-C, a full disk or a kill the same command goes on; chips that are there and whole are kept.

    Example: mien data align photos/ --out photos-aligned --size 112
    """
    from mien.training.data.align_folders import align_folder
    from mien.training.data.folders import open_listing

    settings = _settings("align", size, encoding, face, license_, workers)
    listing = open_listing(source)
    recognizer = tuning.recognizer()
    with Interruption() as stop, output.progress("align", len(listing)) as advance:
        report = align_folder(listing, out, settings, recognizer, progress=advance, stopped=lambda: stop.asked)
    if not report.complete:
        looked_at = report.chips + len(report.refused)
        output.note(
            f"interrupted: {looked_at} of {len(listing)} photos are dealt with; the same command goes on from there"
        )
        raise typer.Exit(INTERRUPTED)
    show_refused(report.refused, output)
    output.result({"out": str(out), "images": report.chips, "refused": len(report.refused), "resumed": report.resumed})
    output.say(f"{out}: {report.chips} chips of {size}×{size} pixels, {len(report.refused)} photos without")


def _settings(form: str, size: int, encoding: str, face: str, license_: str, workers: int | None) -> PackSettings:
    """The settings that packing and aligning share, checked."""
    from mien.training.data.preparing import Form, PackSettings

    forms: dict[str, Form] = {"as-is": "as-is", "align": "align", "aligned": "aligned"}
    encodings: dict[str, Encoding] = {"jpeg": "jpeg", "png": "png"}
    rules: dict[str, FaceRule] = {"central": "central", "largest": "largest", "single": "single"}
    if encoding not in encodings:
        raise typer.BadParameter(f"expected jpeg or png, got {encoding!r}", param_hint="--format")
    if face not in rules:
        raise typer.BadParameter(f"expected central, largest or single, got {face!r}", param_hint="--face")
    if workers is None:
        workers = 1 if form == "align" else min(_MOST_WORKERS, os.cpu_count() or 1)
    return PackSettings(
        form=forms[form], size=size, encoding=encodings[encoding], face=rules[face], license=license_, workers=workers
    )


for _function in (pack, unpack, stats, align, preview, merge, clean):
    data_app.command(cls=PlainCommand)(_function)
