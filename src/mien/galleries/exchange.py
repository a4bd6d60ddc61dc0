"""Export and import: all that a gallery knows of its templates, to a Parquet or NumPy file and back.

A file is read twice: ``checked_templates`` finds out whether all of it is in order, before ``import_templates`` stores
it block by block, each in one transaction. An import that is interrupted is gone on with by importing the same file
again, since a template that its identity has already, bit by bit, is skipped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput, GalleryError, SpaceMismatch
from mien.galleries.exchange_npz import NumpyTemplates, write_npz
from mien.galleries.exchange_parquet import ParquetTemplates, write_parquet
from mien.galleries.exchange_rows import Block, FileFacts, Portable
from mien.galleries.names import canonical_name
from mien.galleries.protocol import Gallery, NewEnrollment
from mien.matching import Codec, encode
from mien.types import Templates

__all__ = ["SUFFIXES", "TemplatesFile", "blocks_of", "checked_templates", "export_templates", "import_templates"]

SUFFIXES = (".parquet", ".npz")
"""What the names of files of templates end in."""

_ROWS = 20_000
_ROWS_WITH_PORTRAITS = 500
_DIGEST_BYTES = 16
_FRESH_DIGESTS = 200_000
# The year 2096: what is later was not given in seconds.
_LATEST = 4e9

_Digests = NDArray[np.bytes_]


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
            yield _block_of(gallery, waiting)
            waiting, rows = [], 0
    if waiting:
        yield _block_of(gallery, waiting)


def _block_of(gallery: Gallery, names: Sequence[str]) -> Block:
    """The templates of some identities, by what every gallery can tell."""
    held = [gallery.templates(name) for name in names]
    counts = [len(ids) for ids, _ in held]
    tags = [tuple(gallery.tags(name)) for name in names]
    return Block(
        np.concatenate([np.asarray(ids, np.int64) for ids, _ in held]),
        [name for name, count in zip(names, counts, strict=True) for _ in range(count)],
        [own for own, count in zip(tags, counts, strict=True) for _ in range(count)],
        np.concatenate([templates.vectors for _, templates in held]),
        np.full(sum(counts), np.nan),
        np.zeros(sum(counts), np.bool_),
    )


def export_templates(gallery: Gallery, path: str, *, portraits: bool = False) -> Iterator[int]:
    """Write all templates of a gallery to a file, complete when the iterator has come to its end.

    Args:
        gallery: the gallery.
        path: a file that ends in ``.parquet`` or ``.npz``; overwritten.
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
        BadInput: it is no such file, or a name, a tag, a vector or a time in it is not fit; the message says where.
        MissingExtra: Parquet needs pyarrow.
    """
    source: TemplatesFile = NumpyTemplates(path) if _suffix(path) == ".npz" else ParquetTemplates(path)
    start = 1
    for block in source.blocks(_rows(source.facts)):
        _check(block, source.facts, f"{path}: rows {start} to {start + len(block) - 1}")
        start += len(block)
    return source


def _rows(facts: FileFacts) -> int:
    return _ROWS_WITH_PORTRAITS if facts.portraits else _ROWS


def _suffix(path: str) -> str:
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"expected a file name that ends in {' or '.join(SUFFIXES)}, got {path!r}")
    return suffix


def import_templates(gallery: Gallery, source: TemplatesFile) -> Iterator[tuple[int, int]]:
    """Store the templates of a file in a gallery, under new ids.

    When they were enrolled and whether they are mapped is kept; tags are added to those that an identity has.

    Args:
        gallery: where to.
        source: what ``checked_templates`` gave.

    Yields:
        After each block, stored for good: how many templates were taken in, and how many skipped, since their identity
        has the same template already.

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
    codec = gallery.options.codec
    seen = _Seen()
    if len(gallery):
        for block in blocks_of(gallery):
            seen.add(_digests(block.identities, block, codec))
    for block in source.blocks(_rows(facts)):
        names = [canonical_name(name) for name in block.identities]
        fresh = seen.add(_digests(names, block, codec))
        chosen = block if fresh.all() else block[np.flatnonzero(fresh)]
        if len(chosen):
            _store(gallery, chosen, facts.space)
        yield len(chosen), len(block) - len(chosen)


def _check(block: Block, facts: FileFacts, where: str) -> None:
    try:
        for text in set(block.identities):
            canonical_name(text)
        for text in {tag for tags in block.tags for tag in tags}:
            canonical_name(text, "tag")
        templates = Templates(block.vectors, facts.space)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    if templates.dimension != facts.dimension:
        raise BadInput(f"{where}: expected vectors of dimension {facts.dimension}, got {templates.dimension}")
    known = block.created[~np.isnan(block.created)]
    if len(known) and not (known.min() >= 0 and known.max() < _LATEST):
        worst = known.min() if known.min() < 0 else known.max()
        raise BadInput(f"{where}: created: expected seconds since 1970, got {worst}")


def _digests(names: Sequence[str], block: Block, codec: Codec) -> _Digests:
    """A digest of identity and vector, as the gallery would keep it, for each template."""
    stored = encode(block.vectors, codec)
    digests = [
        hashlib.blake2b(name.encode() + b"\0" + row.tobytes(), digest_size=_DIGEST_BYTES).digest()
        for name, row in zip(names, stored, strict=True)
    ]
    return np.array(digests, f"S{_DIGEST_BYTES}")


class _Seen:
    """Which templates there are already: 16 bytes for each, and little more."""

    def __init__(self) -> None:
        self._sorted: _Digests = np.empty(0, f"S{_DIGEST_BYTES}")
        self._fresh: set[bytes] = set()

    def add(self, digests: _Digests) -> NDArray[np.bool_]:
        """Take digests in; which of them are new."""
        places = np.searchsorted(self._sorted, digests)
        new = np.ones(len(digests), np.bool_)
        inside = places < len(self._sorted)
        new[inside] = self._sorted[places[inside]] != digests[inside]
        for place in np.flatnonzero(new):
            digest = bytes(digests[place])
            new[place] = digest not in self._fresh
            self._fresh.add(digest)
        if len(self._fresh) > max(_FRESH_DIGESTS, len(self._sorted) // 4):
            fresh = np.array(list(self._fresh), f"S{_DIGEST_BYTES}")
            self._sorted = np.sort(np.concatenate([self._sorted, fresh]))
            self._fresh = set()
        return new


def _store(gallery: Gallery, block: Block, space: str) -> None:
    if isinstance(gallery, Portable):
        created = np.where(np.isnan(block.created), time.time(), block.created)
        gallery.restore(replace(block, created=created), space)
        return
    if block.mapped.any():
        raise GalleryError(f"{gallery.url}: this kind of gallery cannot mark templates as mapped, and some are")
    templates = Templates(block.vectors, space)
    gallery.add_many(
        NewEnrollment(name, templates[k], tags=tags)
        for k, (name, tags) in enumerate(zip(block.identities, block.tags, strict=True))
    )
