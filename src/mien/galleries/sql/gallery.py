"""A gallery in a SQL database: durable, shared by threads and processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import Any

from mien.errors import GalleryError
from mien.galleries.batch import canonical_names, canonical_tags, checked_batch, checked_id, enrollments
from mien.galleries.exchange_rows import Block, Migration, Unmigrated
from mien.galleries.names import canonical_name
from mien.galleries.paging import checked_page
from mien.galleries.progress import Progress, Steps
from mien.galleries.protocol import GalleryOptions, NewEnrollment, Portraits
from mien.galleries.sql import amending, audit, migrating, reading, removing, transfer
from mien.galleries.sql.access import Access
from mien.galleries.sql.audit import AuditEntry
from mien.galleries.sql.checking import check
from mien.galleries.sql.engine import Engine
from mien.galleries.sql.enrolling import enroll, put_tags
from mien.galleries.sql.mirror import Mirror
from mien.galleries.sql.renaming import rename
from mien.galleries.sql.shelf import Shelf
from mien.galleries.sql.snapshot import SnapshotFile
from mien.galleries.urls import GalleryUrl
from mien.matching import checked_threshold, checked_top
from mien.types import Enrollment, FloatArray, Match, Templates

__all__ = ["SqlGallery"]


class SqlGallery:
    """The ``Gallery`` on any ``Database``.

    What an enrollment returns survives a killed process and a power failure. What has been kept for longer than the
    gallery may keep it is not shown any more from that moment on, and erased when the gallery is opened, before
    each change, and by a thread while it is open.

    Args:
        url: what the gallery was opened with.
        shelf: which gallery of which database; closed with the gallery.
        engine: what searches it.
        snapshot: the file beside the database that may hold a copy of its index; None: there is no place for one.

    Raises:
        GalleryError: the database cannot be read.
    """

    def __init__(self, url: GalleryUrl, shelf: Shelf, engine: Engine, snapshot: SnapshotFile | None = None) -> None:
        self.url = url.shown
        self.name = url.name
        self._shelf = shelf
        self._engine = engine
        self._snapshot = snapshot
        self._access = Access(url.shown, shelf, snapshot)
        self._read, self._write, self._require_open = self._access.read, self._access.write, self._access.require_open

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        with self._read() as session:
            return reading.space_of(session, self._shelf)[0]

    @property
    def options(self) -> GalleryOptions:
        """How the gallery keeps what it holds."""
        return self._shelf.options

    def add(
        self,
        identity: str,
        templates: Templates,
        *,
        tags: Collection[str] = (),
        portraits: Portraits | None = None,
    ) -> list[Enrollment]:
        """See ``Gallery.add``."""
        if not tags and portraits is None:
            return self.add_many([(identity, templates)])
        return self.add_many([NewEnrollment(identity, templates, tags, portraits)])

    def add_many(self, items: Iterable[NewEnrollment | tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``."""
        self._require_open()
        # The items are made before the transaction begins: they may take long, and the write lock shuts out others.
        batch = checked_batch(items)
        with self._write() as session:
            first = enroll(session, self._shelf, batch)
        return enrollments(batch, first)

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        name = canonical_name(identity)
        with self._write(removes=True) as session:
            return removing.remove_identity(session, self._shelf, name)

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        self._require_open()
        id_ = checked_id(template_id)
        with self._write(removes=True) as session:
            removing.remove_template(session, self._shelf, id_)

    def rename(self, identity: str, new_name: str, *, merge: bool = False) -> int:
        """See ``Gallery.rename``."""
        name, new = canonical_name(identity), canonical_name(new_name)
        with self._write(removes=True) as session:
            return rename(session, self._shelf, name, new, merge)

    def identities(
        self, *, after: str | None = None, limit: int | None = None, containing: str | None = None
    ) -> list[tuple[str, int]]:
        """See ``Gallery.identities``; an encrypted gallery decrypts all names for each page."""
        page = checked_page(after, limit, containing)
        with self._read() as session:
            return reading.identities(session, self._shelf, page)

    def count_identities(self) -> int:
        """See ``Gallery.count_identities``."""
        with self._read() as session:
            return reading.count_identities(session, self._shelf)

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        name = canonical_name(identity)
        with self._read() as session:
            return reading.templates(session, self._shelf, name)

    def portrait(self, template_id: int) -> bytes | None:
        """See ``Gallery.portrait``."""
        id_ = checked_id(template_id)
        with self._read() as session:
            return reading.portrait(session, self._shelf, id_)

    def tags(self, identity: str) -> list[str]:
        """See ``Gallery.tags``."""
        name = canonical_name(identity)
        with self._read() as session:
            return reading.tags(session, self._shelf, name)

    def set_tags(self, identity: str, tags: Collection[str]) -> None:
        """See ``Gallery.set_tags``."""
        name, wanted = canonical_name(identity), canonical_tags(tags)
        with self._write(removes=True) as session:
            number = removing.number_of(session, self._shelf, name)
            removing.remove_tags(session, self._shelf, number)
            put_tags(session, self._shelf, ((number, tag) for tag in sorted(wanted)))
            audit.log_changes(session, self._shelf, "tag", [(number, None, f"tags={len(wanted)}")])

    def search(
        self,
        probes: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        identities: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """See ``Gallery.search``."""
        self._require_open()
        shelf = self._shelf
        top, threshold = checked_top(top), checked_threshold(threshold)
        allowed = None
        if tags is not None or identities is not None:
            tagged = None if tags is None else canonical_tags(tags)
            named = None if identities is None else canonical_names(identities)
            with self._read() as session:
                allowed = reading.allowed_numbers(session, shelf, tagged, named)
        found = self._engine.search(probes, top=top, threshold=threshold, allowed=allowed, cutoff=shelf.cutoff())
        if shelf.options.audit == "all":
            audit.log_search(shelf, found)
        return found

    def __len__(self) -> int:
        """How many templates are enrolled."""
        self._require_open()
        held = self._engine.count(self._shelf.cutoff())
        if held is not None:
            return held
        with self._read() as session:
            return reading.count(session, self._shelf)

    def audit_log(
        self, *, since: float | None = None, until: float | None = None, identity: str | None = None
    ) -> Iterator[AuditEntry]:
        """The audit log in the order in which it was written.

        Args:
            since: only entries from this time on, in seconds since 1970 (UTC).
            until: only entries before this time.
            identity: only those of the identity that has this name now; entries of erased ones have no name.
        """
        self._require_open()
        return audit.audit_log(self._shelf, since, until, identity)

    def export_identity(self, identity: str) -> dict[str, Any]:
        """All that is held about one identity, as values for JSON; pictures are base64, times ISO 8601 in UTC.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        name = canonical_name(identity)
        self._require_open()
        if audit.takes_in_exports(self._shelf):
            with self._write() as session:
                number = removing.number_of(session, self._shelf, name)
                audit.log_changes(session, self._shelf, "export", [(number, None, "")])
        log = [*audit.audit_log(self._shelf, identity=name)]
        with self._read() as session:
            return transfer.exported(session, self._shelf, name, log)

    def log_export(self, templates: int) -> None:
        """See ``ExportLogged.log_export``."""
        self._require_open()
        if audit.takes_in_exports(self._shelf):
            with self._write() as session:
                audit.log_changes(session, self._shelf, "export", [(None, None, f"templates={templates}")])

    def blocks(self, *, rows: int = 20_000, portraits: bool = False) -> Iterator[Block]:
        """See ``Portable.blocks``."""
        self._require_open()
        return transfer.blocks(self._shelf, rows, portraits)

    def restore(self, block: Block, space: str) -> list[int]:
        """See ``Portable.restore``."""
        self._require_open()
        batch = transfer.batch_of(block, space)
        first_kept = self._shelf.cutoff()
        old = first_kept is not None and bool((block.created < first_kept).any())
        with self._write(removes=old) as session:
            created, mapped = block.created.tolist(), [int(flag) for flag in block.mapped]
            first = enroll(session, self._shelf, batch, created=created, mapped=mapped)
            if old:
                removing.expire(session, self._shelf)
        return list(range(first, first + len(batch)))

    def amend(self, block: Block) -> None:
        """See ``Portable.amend``."""
        with self._read() as session:
            missing = amending.additions(session, self._shelf, block)
        if missing:
            with self._write() as session:
                amending.put(session, self._shelf, amending.additions(session, self._shelf, block))

    def mapped(self) -> int:
        """See ``Migratable.mapped``."""
        with self._read() as session:
            return reading.count(session, self._shelf, mapped_only=True)

    def plan_migration(self, target: str, dimension: int, *, method: str | None = None) -> Migration:
        """See ``Migratable.plan_migration``."""
        with self._read() as session:
            return migrating.plan(session, self._shelf, target, dimension, method)

    def begin_migration(self, target: str, dimension: int, *, method: str | None = None) -> Migration:
        """See ``Migratable.begin_migration``."""
        with self._write() as session:
            return migrating.begin(session, self._shelf, target, dimension, method)

    def migration(self) -> Migration | None:
        """See ``Migratable.migration``."""
        with self._read() as session:
            return migrating.under_way(session, self._shelf)

    def unmigrated(self, limit: int, *, after: int = 0) -> list[Unmigrated]:
        """See ``Migratable.unmigrated``."""
        with self._read() as session:
            return migrating.unmigrated(session, self._shelf, limit, after)

    def put_pending(
        self, rows: Collection[tuple[int, FloatArray]], *, target: str, method: str | None = None, mapped: bool
    ) -> int:
        """See ``Migratable.put_pending``."""
        with self._write() as session:
            return migrating.put_pending(session, self._shelf, list(rows), target, method, mapped)

    def finish_migration(self, target: str, *, method: str | None = None) -> int:
        """See ``Migratable.finish_migration``."""
        with self._write(removes=True) as session:
            left = migrating.finish(session, self._shelf, target, method)
        if not left and self._snapshot is not None:
            self._snapshot.remove()
        return left

    def abandon_migration(self) -> int:
        """See ``Migratable.abandon_migration``."""
        with self._write(removes=True) as session:
            return migrating.abandon(session, self._shelf)

    def rotate_key(self, key: bytes) -> None:
        """Encrypt the gallery's data key with another key of 32 bytes; the former one opens nothing from then on.

        Raises:
            BadKey: not 32 bytes.
            GalleryError: the gallery is not encrypted.
        """
        self._require_open()
        vault = self._shelf.sealer.vault
        if vault is None:
            raise GalleryError(f"{self._shelf.place}: the gallery {self.name!r} is not encrypted: there is no key")
        secret = vault.rewrapped(key)
        with self._write(removes=True) as session:
            session.execute("UPDATE galleries SET secret = ? WHERE id = ?", (secret, self._shelf.gallery_id))
            audit.log_changes(session, self._shelf, "rotate_key", [(None, None, "")])

    def compact(self, *, snapshot: bool = True, progress: Progress | None = None) -> None:
        """Give back the room of what was removed, in all galleries of the place, and prepare the next opening.

        Args:
            snapshot: write a copy of the index, beside the database, with which a gallery of millions opens at once
                (SQLite only; never of an encrypted gallery, since it would not be); False: remove the one there is.
            progress: is told how far it is: of two steps for each template, reading it and writing it to the index.

        Raises:
            GalleryError: read-only, or there is no room on the disk.
        """
        self._require_open()
        steps = Steps(progress, 2 * len(self))
        self._shelf.database.compact(steps.tell)
        if self._snapshot is not None and isinstance(self._engine, Mirror):
            self._snapshot.remove()
            if snapshot:
                with self._write() as session:
                    self._engine.save(session, steps.advance)
        steps.finish()

    def check(self, *, progress: Progress | None = None) -> list[str]:
        """The damage that is found when everything is read: by the engine, in vectors, counts, seals and the index.

        Args:
            progress: is told how many rows of the gallery are read: templates, and what belongs to them.
        """
        self._require_open()
        return check(self._shelf, self._snapshot, progress)

    def close(self) -> None:
        """See ``Gallery.close``."""
        if not self._access.closed:
            self._access.close()
            self._engine.close()
            self._shelf.database.close()

    def __enter__(self) -> SqlGallery:
        """The gallery itself, closed at the end of the block."""
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gallery."""
        self.close()
