"""One gallery at its place: found, or made where it is missing."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mien.errors import BadGallery, GalleryNotFound
from mien.galleries.keeper import cutoff
from mien.galleries.options import from_json, require_no_key, require_same, to_json
from mien.galleries.protocol import GalleryOptions
from mien.galleries.sql.database import Database, Row, Session
from mien.galleries.sql.schema import index_ages
from mien.galleries.sql.sealer import Sealer
from mien.galleries.urls import GalleryUrl
from mien.galleries.vault import Vault, read_key

__all__ = ["Shelf", "chunks", "find_or_make", "marks", "missing", "removed_meanwhile", "require_there"]

_CHUNK = 500

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Shelf:
    """One gallery of a database.

    Attributes:
        database: where it is.
        gallery_id: its number there.
        options: how it keeps what it holds.
        sealer: how its columns are read and written.
        actor: who is at work, for the audit log.
    """

    database: Database
    gallery_id: int
    options: GalleryOptions
    sealer: Sealer
    actor: str

    @property
    def place(self) -> str:
        """Where, for messages."""
        return self.database.place

    def cutoff(self) -> float | None:
        """Templates enrolled before this time have expired; None: none ever does."""
        return cutoff(self.options.retention_days)

    def shown(self, table: str) -> tuple[str, tuple[float, ...]]:
        """A condition, with its parameters, that lets through templates which have not expired."""
        first_kept = self.cutoff()
        return ("", ()) if first_kept is None else (f" AND {table}.created >= ?", (first_kept,))


def chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The values in parts small enough to be the parameters of one statement."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def marks(values: Sequence[object]) -> str:
    """A list of parameters for ``IN``."""
    return f"({', '.join('?' * len(values))})"


def removed_meanwhile(shelf: Shelf) -> GalleryNotFound:
    """The error for a gallery that was removed while it is open here."""
    return GalleryNotFound(f"{shelf.place}: the gallery was removed while it was open here")


def require_there(session: Session, shelf: Shelf) -> None:
    """Check that the gallery was not removed meanwhile.

    Raises:
        GalleryNotFound: it was.
    """
    if not session.execute("SELECT 1 FROM galleries WHERE id = ?", (shelf.gallery_id,)):
        raise removed_meanwhile(shelf)


def find_or_make(database: Database, url: GalleryUrl, create: bool) -> Shelf:
    """The gallery that a URL names, made with the URL's options where it is missing.

    Raises:
        BadGallery: there is none and none is to be made, it has other options than the URL says, or a key is given
            and it is not encrypted.
        BadKey: the gallery is encrypted with another key.
        KeyMissing: the gallery is encrypted and no key is given.
        GalleryError: the place cannot be read or changed.
    """
    with database.reading() as session:
        row = _row(session, url.name)
    if row is None:
        if not create or database.read_only:
            raise GalleryNotFound(missing(database, url.name))
        row = _made(database, url)
    gallery_id, text, secret = row
    place = f"{database.place}, gallery {url.name!r}"
    options = from_json(text, place)
    require_same(url.named, options, place)
    if options.encrypted != (secret is not None):
        raise BadGallery(f"{place}: its options and its key do not fit together: damaged")
    if not options.encrypted:
        require_no_key(url.key_file, place, made=True)
    vault = Vault.open(read_key(url.key_file, os.environ), secret, place) if options.encrypted else None
    sealer = Sealer(int(gallery_id), options.codec, vault, place)
    return Shelf(database, int(gallery_id), options, sealer, _login() if url.actor is None else url.actor)


def _row(session: Session, name: str) -> Row | None:
    rows = session.execute("SELECT id, options, secret FROM galleries WHERE name = ?", (name,))
    return rows[0] if rows else None


def missing(database: Database, name: str) -> str:
    """What to say where no gallery of that name is at a place."""
    with database.reading() as session:
        names = [str(other) for (other,) in session.execute("SELECT name FROM galleries ORDER BY name")]
    return f"no gallery named {name!r} at {database.place}; it has: {', '.join(names) if names else 'none'}"


def _made(database: Database, url: GalleryUrl) -> Row:
    options = GalleryOptions(**url.named)
    if not options.encrypted:
        require_no_key(url.key_file, f"{database.place}, gallery {url.name!r}", made=False)
    # Before anything is written: without a key no gallery is made.
    secret = Vault.create(read_key(url.key_file, os.environ))[1] if options.encrypted else None
    with database.writing() as session:
        row = _row(session, url.name)
        if row is None:
            # Nobody who still has a removed gallery open may take another one for it: what a removed one leaves in
            # the log of removals keeps its number from being given out again.
            ((last,),) = session.execute("SELECT coalesce(max(id), 0) FROM galleries")
            ((gone,),) = session.execute("SELECT coalesce(max(gallery_id), 0) FROM removals")
            session.execute(
                "INSERT INTO galleries (id, name, options, secret) VALUES (?, ?, ?, ?)",
                (max(last, gone) + 1, url.name, to_json(options), secret),
            )
            if options.retention_days is not None or options.audit_days is not None:
                index_ages(session)
            row = _row(session, url.name)
    if row is None:
        raise GalleryNotFound(missing(database, url.name))
    return row


def _login() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # A container's user may have no name.
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"
