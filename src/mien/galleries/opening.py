"""Opening a gallery by its URL, and seeing which galleries there are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mien.errors import BadGallery, GalleryNotFound
from mien.galleries.memory import MemoryGallery
from mien.galleries.options import require_no_key
from mien.galleries.protocol import Gallery
from mien.galleries.sql.database import Database
from mien.galleries.sql.discarding import discard
from mien.galleries.sql.engine import Engine
from mien.galleries.sql.gallery import SqlGallery
from mien.galleries.sql.listing import GallerySummary, summaries
from mien.galleries.sql.mirror import Mirror
from mien.galleries.sql.shelf import Shelf, find_or_make
from mien.galleries.sql.snapshot import SnapshotFile
from mien.galleries.urls import GalleryUrl, parse_url
from mien.galleries.vault import Vault, read_key

__all__ = ["galleries_at", "open_gallery", "remove_gallery", "require_free"]


def open_gallery(url: str, *, create: bool = True) -> Gallery:
    """Open a gallery; close it, or use it as a context manager.

    Args:
        url: ``memory:`` (new and empty each time), ``sqlite:///people.db`` (relative to the working directory),
            ``sqlite:////srv/people.db`` (absolute), ``postgresql://user:password@host/database`` or
            ``milvus://host:19530``. Options behind ``?``: ``name=staff`` chooses one of several galleries of a
            place; ``mode=ro`` forbids changes; ``timeout_s=10`` sets how long to wait for another process that is
            writing (5 s); ``actor=NAME`` says who is at work, for the audit log; ``key_file=PATH`` has the key of
            an encrypted gallery. The options of ``GalleryOptions`` (``codec=int8``, ``encrypted=yes``) are taken
            when the gallery is made, and checked when it is there already.
        create: make the gallery where there is none; False for callers that only search, which then learn of
            a mistyped path instead of searching an empty gallery.

    Raises:
        GalleryNotFound: no gallery there (with ``create=False``); a kind of ``BadGallery``.
        BadGallery: not a gallery URL, a place that is something else,
            a gallery that was made with other options than the URL says, or a key for one that is not encrypted.
        BadKey: the gallery is encrypted with another key.
        KeyMissing: the gallery is encrypted, and no key was given.
        MissingExtra: the driver that the URL needs is not installed.
        GalleryLocked: another process holds the place for longer than the time-out.
        GalleryError: the place cannot be read or made.
    """
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        return MemoryGallery(parsed)
    if parsed.scheme == "milvus":
        from mien.galleries.milvus import MilvusGallery

        return MilvusGallery(parsed, create)
    database = _place(parsed, create)
    try:
        shelf = find_or_make(database, parsed, create)
        snapshot = _snapshot(parsed, shelf)
        return SqlGallery(parsed, shelf, _engine(parsed, shelf, snapshot), snapshot)
    except BaseException:
        database.close()
        raise


def _place(url: GalleryUrl, create: bool) -> Database:
    """The database at a URL, made where it is missing, unless no gallery could be made in it then."""
    encrypted = bool(url.named.get("encrypted"))
    if not create or url.mode == "ro" or not (encrypted or url.key_file is not None):
        return _database(url, create)
    with suppress(GalleryNotFound):
        return _database(url, False)
    if encrypted:
        Vault.create(read_key(url.key_file, os.environ))
    else:
        require_no_key(url.key_file, url.shown, made=False)
    return _database(url, True)


def _database(url: GalleryUrl, create: bool) -> Database:
    if url.scheme == "postgresql":
        from mien.galleries.sql.postgres import PostgresDatabase

        return PostgresDatabase(url, create)
    from mien.galleries.sql.sqlite import SqliteDatabase

    return SqliteDatabase(url, create)


def _snapshot(url: GalleryUrl, shelf: Shelf) -> SnapshotFile | None:
    if url.scheme != "sqlite" or shelf.options.encrypted:
        return None
    return SnapshotFile(Path(shelf.database.place), shelf.gallery_id)


def _engine(url: GalleryUrl, shelf: Shelf, snapshot: SnapshotFile | None) -> Engine:
    if url.engine == "pgvector":
        from mien.galleries.sql.pgvector import PgvectorEngine

        return PgvectorEngine(shelf)
    return Mirror(shelf, snapshot)


def galleries_at(url: str) -> list[GallerySummary]:
    """Every gallery of a file or a database, sorted by name; no key is needed, nothing is made.

    Args:
        url: the place; which gallery it names does not matter.

    Raises:
        BadGallery: there is no gallery, or the place keeps no list of its galleries.
        GalleryLocked: another process holds the place.
        GalleryError: the place cannot be read.
    """
    parsed = parse_url(url)
    if parsed.scheme == "milvus":
        from mien.galleries.milvus.listing import summaries as milvus_summaries

        return milvus_summaries(parsed)
    if parsed.scheme == "memory":
        raise BadGallery(f"{parsed.scheme} keeps no list of its galleries: {parsed.shown!r}")
    database = _database(parsed, False)
    try:
        return summaries(database)
    finally:
        database.close()


def remove_gallery(url: str) -> int:
    """Erase a whole gallery: its templates, names, tags, portraits, audit log and index; no key is needed.

    It is erased like an identity: in a SQLite file and its snapshot overwritten, in PostgreSQL and Milvus as far as
    ``remove_identity`` goes there. Other galleries of the place stay. Who has the gallery open gets
    ``GalleryNotFound`` from then on.

    Returns:
        How many templates there were.

    Raises:
        GalleryNotFound: there is no such gallery.
        BadGallery: the place is something else, or keeps nothing (``memory:``).
        GalleryLocked: another process is writing.
        GalleryError: read-only, or the place cannot be reached.
    """
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        raise BadGallery(f"a memory gallery is gone when it is closed, there is none to remove: {parsed.shown!r}")
    if parsed.scheme == "milvus":
        from mien.galleries.milvus.discarding import discard as discard_in_milvus

        return discard_in_milvus(parsed)
    database = _database(parsed, False)
    try:
        gallery_id, removed = discard(database, parsed.name)
        if parsed.scheme == "sqlite":
            SnapshotFile(Path(database.place), gallery_id).remove_unless(None)
        return removed
    finally:
        database.close()


def require_free(url: GalleryUrl) -> None:
    """Check that a gallery can be made at a URL; makes nothing.

    Raises:
        BadGallery: something else is there, the folder does not exist, or a key is given and the URL does not say
            that the gallery is to be encrypted.
        BadKey: the key that the gallery is to be encrypted with is none.
        KeyMissing: it is to be encrypted, and no key is given.
        GalleryError: the folder cannot be written, or the server cannot be reached.
    """
    if url.named.get("encrypted"):
        read_key(url.key_file, os.environ)
    else:
        require_no_key(url.key_file, url.shown, made=False)
    if url.scheme == "sqlite":
        from mien.galleries.sql.sqlite_file import require_place

        require_place(url)
    elif url.scheme == "milvus":
        from mien.galleries.milvus.listing import require_place as require_milvus_place

        require_milvus_place(url)
    elif url.scheme == "postgresql":
        from mien.galleries.sql.postgres import PostgresDatabase

        with suppress(GalleryNotFound):
            PostgresDatabase(url, False).close()
