"""Making packs: images into shards, in order, in parallel, and going on where an earlier run was cut off."""

from __future__ import annotations

import csv
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.errors import BadInput, OutputError
from mien.recognizer import Recognizer
from mien.training.data.folders import open_listing
from mien.training.data.index import INDEX_FILE, Index, write_index
from mien.training.data.journal import Journal, Place, in_the_making
from mien.training.data.listing import Listing, same_list
from mien.training.data.preparing import PackSettings, Prepared, Refused
from mien.training.data.shards import ShardWriter, Stored
from mien.training.data.working import prepared_in_order
from mien.training.requirements import need_parquet

__all__ = [
    "FAILURES_FILE",
    "PackReport",
    "pack",
    "pack_facts",
    "pack_images",
    "remove_pack",
    "require_room",
    "write_failures",
]

FAILURES_FILE = "failures.csv"
"""Beside the index: the images that were not packed, and why."""

_SECONDS_AN_ENTRY = 5.0


@dataclass(frozen=True, slots=True)
class PackReport:
    """What a run has done.

    Attributes:
        images: how many images the pack holds.
        identities: how many people.
        refused: the images that are not in it, and why.
        resumed: how many images an earlier run had dealt with.
        done: how many have been dealt with, of all.
        complete: whether all have: the index is there.
        seconds: how long this run took.
    """

    images: int
    identities: int
    refused: tuple[Refused, ...]
    resumed: int
    done: int
    complete: bool
    seconds: float

    @property
    def reasons(self) -> dict[str, int]:
        """How many images were refused for each reason, most frequent first."""
        return dict(Counter(item.code for item in self.refused).most_common())


def pack(
    listing: Listing,
    out: Path,
    settings: PackSettings,
    *,
    recognizer: Recognizer | None = None,
    progress: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> PackReport:
    """Pack images. A run that was cut off, at whatever moment, goes on when it is called again.

    Args:
        listing: the images.
        out: the pack's folder.
        settings: how.
        recognizer: finds the faces, where they are to be aligned; worker processes make their own from its settings.
        progress: called with the number of images that are done since the last call.
        stopped: asked after each image; what is done by then is kept, and the report is not complete.

    Raises:
        BadInput: no image can be packed, or the folder holds a pack in the making with other settings.
        OutputError: there is a pack already, or it cannot be written (disk full); what is done is kept.
        MissingExtra: pyarrow is not there.
        MienError: what is no single image's fault: a model that is not there.
    """
    need_parquet()
    began = time.monotonic()
    require_room(out)
    advance = progress or (lambda _count: None)
    with Journal(out, pack_facts(listing, settings, recognizer)) as journal:
        advance(journal.resumed)
        _fill(journal, out, listing, settings, recognizer, advance, stopped or (lambda: False))
        place, refused = journal.place, tuple(journal.refused)
        complete = place.next == len(listing) and place.length == 0
        identities = _finish(journal, out, listing, settings) if complete else 0
        return PackReport(
            place.image, identities, refused, journal.resumed, place.next, complete, time.monotonic() - began
        )


def pack_images(
    source: Path | str, out: Path, *, aligned: int | None = None, recognizer: Recognizer | None = None, **settings: Any
) -> PackReport:
    """Pack a source's images in one call: ``open_listing`` and ``pack``, with their errors.

    Args:
        source: see ``mien.training.data.folders.open_listing``.
        out: the pack's folder.
        aligned: the side in pixels of images that are aligned already; None for photos as they are.
        recognizer: finds and cuts faces, with ``form="align"``.
        **settings: those of ``PackSettings``.
    """
    if aligned is not None:
        settings = {"form": "aligned", "size": aligned, **settings}
    return pack(open_listing(source), out, PackSettings(**settings), recognizer=recognizer)


def require_room(out: Path) -> None:
    """Check that a pack can be made in a folder, or one in the making be gone on with.

    Raises:
        OutputError: there is a pack already.
    """
    if in_the_making(out):
        return
    found = [*out.glob(INDEX_FILE), *out.glob("shard-*.tar"), *out.glob("shard-*.tar.part")]
    if found:
        raise OutputError(f"{out}: there is a pack already: {found[0].name}")


def remove_pack(out: Path) -> None:
    """Remove a pack, or one in the making, from a folder; other files stay.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        for pattern in (INDEX_FILE, FAILURES_FILE, "shard-*.tar", "shard-*.tar.part"):
            for found in out.glob(pattern):
                found.unlink()
        Journal.discard(out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be removed: {error.strerror or error}") from error


def write_failures(file: Path, refused: tuple[Refused, ...] | list[Refused]) -> None:
    """Write the images that were refused, and why, as a table.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("image", "identity", "code", "message"))
            writer.writerows((item.name, item.identity, item.code, item.message) for item in refused)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from error


def pack_facts(listing: Listing, settings: PackSettings, recognizer: Recognizer | None) -> dict[str, object]:
    """What the images of a pack depend on: work that was cut off goes on with the same only."""
    facts: dict[str, object] = {
        "source": os.path.abspath(listing.source),
        "images": same_list(listing),
        "form": settings.form,
        "encoding": settings.encoding,
        "license": settings.license,
        "shard_bytes": settings.shard_bytes,
        "quality": settings.quality,
    }
    if settings.form != "as-is":
        facts["size"] = settings.size
    if settings.form == "align" and recognizer is not None:
        given = recognizer.settings
        facts |= {"face": settings.face, "detector": given.detector, "min_face": given.min_face}
        facts |= {"min_score": given.min_score, "max_pixels": given.max_pixels}
    return facts


def _fill(
    journal: Journal,
    out: Path,
    listing: Listing,
    settings: PackSettings,
    recognizer: Recognizer | None,
    advance: Callable[[int], None],
    stopped: Callable[[], bool],
) -> None:
    start = journal.place
    writer = ShardWriter(out, settings.shard_bytes, shard=start.shard, length=start.length, image=start.image)
    rows: list[dict[str, Any]] = []
    refused: list[Refused] = []
    done, written = start.next, time.monotonic()

    def enter() -> None:
        nonlocal rows, refused, written
        writer.sync()
        journal.add(rows, refused, Place(done, writer.shard, writer.length, writer.image))
        rows, refused, written = [], [], time.monotonic()

    try:
        with closing(prepared_in_order(listing, start.next, settings, recognizer)) as items:
            for item in items:
                if isinstance(item, Prepared):
                    rows.append(_row(item, writer.add(item.data, item.suffix), settings))
                else:
                    refused.append(item)
                done += 1
                # A shard that is whole is told of at once: it is not to be opened again.
                if writer.shard != journal.place.shard or time.monotonic() - written > _SECONDS_AN_ENTRY:
                    enter()
                advance(1)
                if stopped():
                    break
        if done == len(listing):
            writer.close()
        if rows or refused or Place(done, writer.shard, writer.length, writer.image) != journal.place:
            enter()
    finally:
        writer.abandon()


def _row(item: Prepared, stored: Stored, settings: PackSettings) -> dict[str, Any]:
    return {
        "shard": stored.shard,
        "offset": stored.offset,
        "length": stored.length,
        "label": 0 if item.identity else -1,
        "identity": item.identity,
        "name": item.name,
        "width": item.size_wh[0],
        "height": item.size_wh[1],
        "landmarks": item.landmarks,
        "quality": item.quality,
        "score": item.score,
        "license": settings.license if item.license is None else item.license,
        "digest": stored.digest,
    }


def _finish(journal: Journal, out: Path, listing: Listing, settings: PackSettings) -> int:
    """Write the index and the failures; how many people there are."""
    table = journal.table()
    failures = out / FAILURES_FILE
    if journal.refused:
        write_failures(failures, journal.refused)
    else:
        failures.unlink(missing_ok=True)
    if not table.num_rows:
        first = journal.refused[0] if journal.refused else None
        journal.remove()
        why = "" if first is None else f"; the first: {first.name}: {first.message}"
        raise BadInput(f"{listing.source}: expected images that can be packed, none of {len(listing)} can{why}")
    aligned = None if settings.form == "as-is" else settings.size
    index = Index(out / INDEX_FILE, table, aligned, settings.note, (os.path.abspath(listing.source),)).relabeled()
    write_index(index, out)
    journal.remove()
    return index.classes
