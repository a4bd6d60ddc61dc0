"""Export and import: all that a gallery knows of its templates, to a Parquet or NumPy file and back.

A file is read twice: ``checked_templates`` finds out whether all of it is in order, before ``import_templates`` stores
it block by block, each in one transaction. An import that is interrupted is gone on with by importing the same file
again: of equal templates of an identity, bit by bit, as many are stored as the file has more than the gallery.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Protocol

import numpy as np

from mien.errors import BadInput, GalleryError, IdentityNotFound, SpaceMismatch
from mien.galleries.batch import canonical_tags
from mien.galleries.exchange_checks import require_known_space, require_rows
from mien.galleries.exchange_npz import NumpyTemplates, write_npz
from mien.galleries.exchange_parquet import ParquetTemplates, write_parquet
from mien.galleries.exchange_rows import Block, FileFacts, Portable
from mien.galleries.exchange_seen import Tally, digests
from mien.galleries.keeper import cutoff
from mien.galleries.names import canonical_name
from mien.galleries.protocol import Gallery, NewEnrollment, Portraits
from mien.galleries.upkeep import ExportLogged
from mien.types import Templates

__all__ = [
    "SUFFIXES",
    "Imported",
    "TemplatesFile",
    "blocks_of",
    "checked_templates",
    "export_templates",
    "import_templates",
]

SUFFIXES = (".parquet", ".npz")
"""What the names of files of templates end in."""

_ROWS = 20_000
_ROWS_WITH_PORTRAITS = 500


def blocks_of(gallery: Gallery, *, portraits: bool = False) -> Iterator[Block]:
    """All templates of a gallery; of one that knows no more than names and vectors, without times of enrollment."""
    if isinstance(gallery, Portable):
        yield from gallery.blocks(rows=_ROWS_WITH_PORTRAITS if portraits else _ROWS, portraits=portraits)
        return
    if portraits:
        raise GalleryError(f"{gallery.url}: this kind of gallery keeps no portraits")
    waiting: list[str] = []
    rows = 0
    for name, count in gallery.identities():
        waiting.append(name)
        rows += count
        if rows >= _ROWS:
            yield from _block_of(gallery, waiting)
            waiting, rows = [], 0
    yield from _block_of(gallery, waiting)


def _block_of(gallery: Gallery, names: Sequence[str]) -> Iterator[Block]:
    """The templates of some identities, by what every gallery can tell; nothing if none of them is there any more."""
    held: list[tuple[str, tuple[str, ...], list[int], Templates]] = []
    for name in names:
        # Others may remove whom they like while the gallery is read.
        with suppress(IdentityNotFound):
            held.append((name, tuple(gallery.tags(name)), *gallery.templates(name)))
    if not held:
        return
    count = sum(len(ids) for _, _, ids, _ in held)
    yield Block(
        np.concatenate([np.asarray(ids, np.int64) for _, _, ids, _ in held]),
        [name for name, _, ids, _ in held for _ in ids],
        [tags for _, tags, ids, _ in held for _ in ids],
        np.concatenate([templates.vectors for _, _, _, templates in held]),
        np.full(count, np.nan),
        np.zeros(count, np.bool_),
    )


def export_templates(gallery: Gallery, path: str, *, portraits: bool = False) -> Iterator[int]:
    """Write all templates of a gallery to a file, which is there when the iterator has come to its end.

    Until then it is written beside its place, under another name; an iterator that is given up leaves nothing. A new
    file can be read by its owner alone.

    Args:
        gallery: the gallery.
        path: a file that ends in ``.parquet`` or ``.npz``; one that is there is replaced.
        portraits: with the portraits; Parquet only.

    Yields:
        How many templates were written, after each block.

    Raises:
        BadInput: the file's name ends in something else, or portraits are asked of an ``.npz`` file.
        GalleryError: the gallery has no embedding space yet, or keeps no portraits.
        MissingExtra: Parquet needs pyarrow.
        OutputError: the file cannot be written.
    """
    suffix = _suffix(path)
    if portraits and suffix == ".npz":
        raise BadInput(f"{path}: portraits go into .parquet files alone")
    space = gallery.space
    if space is None:
        raise GalleryError(f"{gallery.url}: nothing was ever enrolled, so there is nothing to export")
    if isinstance(gallery, ExportLogged):
        gallery.log_export(len(gallery))
    blocks = blocks_of(gallery, portraits=portraits)
    first = next(blocks, None)
    facts = FileFacts(space, 1 if first is None else first.vectors.shape[1], gallery.options.codec, len(gallery))
    rest = _chained(first, blocks)
    yield from (
        write_npz(path, facts, rest) if suffix == ".npz" else write_parquet(path, facts, rest, portraits=portraits)
    )


def _chained(first: Block | None, rest: Iterator[Block]) -> Iterator[Block]:
    if first is not None:
        yield first
    yield from rest


class TemplatesFile(Protocol):
    """A file of templates that can be read any number of times."""

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def facts(self) -> FileFacts:
        """What it says of all its templates."""
        ...

    def blocks(self, rows: int) -> Iterator[Block]:
        """The templates in the file's order, at most ``rows`` at a time; raises BadInput."""
        ...


def checked_templates(path: str) -> TemplatesFile:
    """A file of templates, read once to find out whether all of it can be imported.

    Raises:
        BadInput: it is no such file, its space or its dimension is none, or a name, a tag, a vector or a time in it
            is not fit; the message says in which row.
        MissingExtra: Parquet needs pyarrow.
    """
    source: TemplatesFile = NumpyTemplates(path) if _suffix(path) == ".npz" else ParquetTemplates(path)
    require_known_space(path, source.facts)
    start = 1
    for block in source.blocks(_rows(source.facts)):
        require_rows(path, source.facts, block, start)
        start += len(block)
    return source


def _rows(facts: FileFacts) -> int:
    return _ROWS_WITH_PORTRAITS if facts.portraits else _ROWS


def _suffix(path: str) -> str:
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"expected a file name that ends in {' or '.join(SUFFIXES)}, got {path!r}")
    return suffix


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the templates of a file, or of some of them; two can be added up.

    Attributes:
        taken: how many were taken in, and are stored for good.
        repeated: how many of these are equal, bit by bit, to one of the same identity before them in the file. They
            are stored all the same, since each counts where scores are fused by their mean.
        known: how many their identity had already, as often as in the file so far; they are not stored again, but what
            the file says of them beside the vector (tags, a portrait) is added where it is missing.
        too_old: how many were enrolled longer ago than the gallery keeps templates; nothing of them is stored.
        portraits_dropped: how many of those taken in have a portrait in the file, and none in the gallery, which
            keeps none.
    """

    taken: int = 0
    repeated: int = 0
    known: int = 0
    too_old: int = 0
    portraits_dropped: int = 0

    @property
    def templates(self) -> int:
        """How many templates these are: each was taken in, there already, or too old."""
        return self.taken + self.known + self.too_old

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.taken + other.taken,
            self.repeated + other.repeated,
            self.known + other.known,
            self.too_old + other.too_old,
            self.portraits_dropped + other.portraits_dropped,
        )


def import_templates(gallery: Gallery, source: TemplatesFile) -> Iterator[Imported]:
    """Store the templates of a file in a gallery, under new ids.

    When they were enrolled and whether they are mapped is kept; a time after now, by a clock that is ahead of this
    one, becomes now. Tags are added to those that an identity has, and portraits, in a gallery that keeps them, to
    templates that have none. What is older than the gallery keeps its templates is never stored.

    Args:
        gallery: where to.
        source: what ``checked_templates`` gave.

    Yields:
        What became of each block, once it is stored for good.

    Raises:
        SpaceMismatch: the gallery holds templates of another space.
        BadInput: the gallery holds templates of another dimension, or the file has changed.
        GalleryError: the gallery cannot mark templates as mapped, and the file has such.
    """
    facts = source.facts
    if gallery.space not in (None, facts.space):
        raise SpaceMismatch(
            f"{source.path}: holds templates of {facts.space}, and {gallery.url} holds those of {gallery.space}"
        )
    options = gallery.options
    there, met = Tally(), Tally()
    if len(gallery):
        for block in blocks_of(gallery):
            there.add(digests(block.identities, block.vectors, options.codec))
    for block in source.blocks(_rows(facts)):
        first_kept = cutoff(options.retention_days)
        old = np.zeros(len(block), np.bool_) if first_kept is None else block.created < first_kept
        recent = block if not old.any() else block[np.flatnonzero(~old)]
        given = digests([canonical_name(name) for name in recent.identities], recent.vectors, options.codec)
        before = met.add(given)
        known = before < there.count(given)
        taken = recent if not known.any() else recent[np.flatnonzero(~known)]
        if len(taken):
            _store(gallery, taken, facts.space)
        if known.any():
            _amend(gallery, recent[np.flatnonzero(known)])
        dropped = 0
        if taken.pictures is not None and not options.portraits:
            dropped = sum(picture is not None for picture in taken.pictures)
        repeated = int((before[~known] > 0).sum())
        yield Imported(len(taken), repeated, len(recent) - len(taken), len(block) - len(recent), dropped)


def _store(gallery: Gallery, block: Block, space: str) -> None:
    if isinstance(gallery, Portable):
        # Of an unknown time and of one in the future it is now; fmin passes over NaN.
        gallery.restore(replace(block, created=np.fmin(block.created, time.time())), space)
        return
    if block.mapped.any():
        raise GalleryError(f"{gallery.url}: this kind of gallery cannot mark templates as mapped, and some are")
    gallery.add_many(
        NewEnrollment(name, Templates(block.vectors[k : k + 1], space), tags, _portrait(block, k))
        for k, (name, tags) in enumerate(zip(block.identities, block.tags, strict=True))
    )


def _amend(gallery: Gallery, block: Block) -> None:
    """Add what a file says of templates that are there already."""
    tagged = np.array([bool(own) for own in block.tags])
    pictured = np.array([picture is not None for picture in block.pictures or [None] * len(block)])
    wanted = block[np.flatnonzero(tagged | (pictured & gallery.options.portraits))]
    if not len(wanted):
        return
    if isinstance(gallery, Portable):
        gallery.amend(wanted)
        return
    tags: dict[str, set[str]] = {}
    for name, given in zip(wanted.identities, wanted.tags, strict=True):
        tags.setdefault(name, set()).update(given)
    for name, own in tags.items():
        with suppress(IdentityNotFound):
            held = gallery.tags(name)
            if not canonical_tags(own) <= set(held):
                gallery.set_tags(name, own.union(held))


def _portrait(block: Block, place: int) -> Portraits | None:
    if block.pictures is None or block.landmarks is None:
        return None
    picture = block.pictures[place]
    return None if picture is None else Portraits([picture], block.landmarks[place : place + 1])
