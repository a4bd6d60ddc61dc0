"""``mien gallery check``, ``compact`` and ``rotate-key``."""

from __future__ import annotations

import dataclasses
import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.migrations import migration_words
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.errors import BadGallery, GalleryError

if TYPE_CHECKING:
    from mien.galleries import Gallery

__all__ = ["check", "compact", "rotate_key"]

_PROBES = 1000


def _cannot(gallery: Gallery, what: str) -> GalleryError:
    return GalleryError(f"{gallery.url}: this kind of gallery {what}")


@command
def check(
    output: Output,
    gallery: GalleryUrlOption,
    codec_loss: Annotated[
        bool, typer.Option("--codec-loss", help="Measure instead what the codec int8-only would change in searches.")
    ] = False,
    probes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --codec-loss: search with so many; 1000 by default.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=-1, max=1, help="With --codec-loss: score of a match; by default the model's."),
    ] = None,
) -> None:
    """Examine a gallery: the file or database, every template, what belongs together, and the encryption.

    Prints what is wrong, and then the exit code is 1.

    With --codec-loss: what searches of this very gallery would lose by keeping templates as int8 alone. Templates drawn
    at random are compared with those of all other identities.

    Example: mien gallery check --gallery sqlite:///people.db

    Example: mien gallery check --gallery sqlite:///people.db --codec-loss
    """
    from mien.galleries import Migratable, open_gallery
    from mien.galleries.upkeep import Examinable

    for option, value in (("--probes", probes), ("--threshold", threshold)):
        if value is not None and not codec_loss:
            raise typer.BadParameter("goes with --codec-loss", param_hint=option)
    with open_gallery(gallery, create=False) as people:
        if codec_loss:
            _measure(people, _PROBES if probes is None else probes, threshold, output)
            return
        if not isinstance(people, Examinable):
            raise _cannot(people, "has nothing to examine")
        with output.tracking("check", unit="rows") as tell:
            faults = people.check(progress=tell)
        for fault in faults:
            output.failure({"gallery": people.url}, BadGallery(fault))
        count = len(people)
        migration = people.migration() if isinstance(people, Migratable) else None
    record = {"gallery": people.url, "templates": count, "faults": len(faults), "target": None, "migrated": None}
    if migration is not None:
        record.update(target=migration.target, migrated=migration.done)
    output.result(record)
    if not faults:
        output.say(f"{people.name}: sound, templates {count}")
    if migration is not None:
        output.say(f"{people.name}: {migration_words(migration.target, migration)}")


def _measure(people: Gallery, probes: int, threshold: float | None, output: Output) -> None:
    from mien.galleries.codec_loss import measure_codec_loss

    limit = _threshold_of(people.space) if threshold is None else threshold
    with output.tracking("codec-loss", unit="steps") as tell:
        loss = measure_codec_loss(people, probes=probes, threshold=limit, progress=tell)
    output.columns("what int8-only would change", "measured")
    changed = "not counted" if loss.decisions_changed is None else str(loss.decisions_changed)
    at = "" if loss.threshold is None else f" at threshold {loss.threshold:g}"
    output.result(
        dataclasses.asdict(loss),
        ("searches that would name another identity first", f"{loss.best_changed:.4%} of {loss.probes}"),
        (f"decisions that would change{at}", f"{changed} of {loss.comparisons}"),
        ("largest difference of a score", f"{loss.largest_error:.6f}"),
        ("mean difference of a score", f"{loss.mean_error:.6f}"),
    )


def _threshold_of(space: str | None) -> float | None:
    """The threshold of the card whose space this is, if there is one."""
    from mien.zoo import cards

    for card in cards():
        if card.space == space and card.embedding is not None:
            return card.embedding.threshold
    return None


@command
def compact(
    output: Output,
    gallery: GalleryUrlOption,
    snapshot: Annotated[
        bool,
        typer.Option(
            "--snapshot/--no-snapshot", help="Write, beside a SQLite file, an index with which it opens at once."
        ),
    ] = True,
) -> None:
    """Give the room of removed templates back to the disk, and prepare the next opening.

    It may take as long as writing all of the gallery anew. The index is a copy of the templates; an encrypted gallery
    gets none. With --no-snapshot, the one there is is removed.

    Example: mien gallery compact --gallery sqlite:///people.db
    """
    from mien.galleries import SqlGallery, open_gallery, parse_url
    from mien.galleries.upkeep import Compactable

    path = parse_url(gallery).path
    before, others = _size(path), _indexes(path)
    with open_gallery(gallery, create=False) as people, output.tracking("compact", unit="steps") as tell:
        if isinstance(people, SqlGallery):
            people.compact(snapshot=snapshot, progress=tell)
        elif isinstance(people, Compactable):
            people.compact(progress=tell)
        else:
            raise _cannot(people, "has no files to compact")
    after = _size(path)
    index = next((file for file, state in _indexes(path).items() if others.get(file) != state), None)
    index_bytes = None if index is None else _size(index)
    record = {"gallery": people.url, "bytes_before": before, "bytes_after": after}
    output.result({**record, "index": index, "index_bytes": index_bytes})
    sizes = "" if before is None or after is None else f": {before} bytes before, {after} now"
    written = "" if index is None else f"; index {index}, {index_bytes} bytes"
    output.say(f"{people.name}: compacted{sizes}{written}")


def _size(path: str) -> int | None:
    return os.path.getsize(path) if path and os.path.isfile(path) else None


def _indexes(path: str) -> dict[str, tuple[int, int]]:
    """The files of indexes beside a SQLite file, with what tells whether one was written anew."""
    found = {}
    for file in glob.glob(f"{glob.escape(path)}.*.index") if path else ():
        status = os.stat(file)
        found[file] = (status.st_ino, status.st_mtime_ns)
    return found


@command
def rotate_key(
    output: Output,
    gallery: GalleryUrlOption,
    new_key_file: Annotated[
        Path,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, show_default=False, help="The new key, 32 bytes."),
    ],
) -> None:
    """Give an encrypted gallery another key.

    The old key is read as always: from the URL's key_file or the variable MIEN_GALLERY_KEY. Afterwards it opens the
    gallery no longer. Templates stay as they are: what is encrypted anew is the key that they are encrypted with.

    Example: mien gallery rotate-key --gallery 'sqlite:///people.db?key_file=old.key' --new-key-file new.key
    """
    from mien.galleries import open_gallery
    from mien.galleries.upkeep import Encryptable
    from mien.galleries.vault import read_key

    key = read_key(str(new_key_file), {})
    with open_gallery(gallery, create=False) as people:
        if not isinstance(people, Encryptable):
            raise _cannot(people, "is never encrypted")
        people.rotate_key(key)
    output.result({"gallery": people.url, "rotated": True})
    output.say(f"{people.name}: has a new key, {new_key_file}")
