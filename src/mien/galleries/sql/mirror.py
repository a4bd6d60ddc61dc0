"""The copy in memory that a SQL gallery searches, kept equal to the database whichever process changes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadGallery, GalleryError
from mien.galleries.batch import require_fit
from mien.galleries.sql.database import Row, Session
from mien.galleries.sql.reading import identity_names, orphaned
from mien.galleries.sql.shelf import Shelf, chunks, marks, removed_meanwhile
from mien.galleries.sql.snapshot import Copy, SnapshotFile, new_token
from mien.matching import SearchIndex, stored_width
from mien.types import Match, Templates

__all__ = ["Mirror"]

_ATTEMPTS = 5
_MOST_NAMES = 100_000
# Rows are taken up in parts that stay in the processor's cache.
_PART_BYTES = 1 << 18


class _Held:
    """The index and how far it has followed the database."""

    def __init__(self, space: str, epoch: int, index: SearchIndex, last_template: int, last_removal: int) -> None:
        self.space = space
        self.epoch = epoch
        self.index = index
        self.last_template = last_template
        self.last_removal = last_removal
        self.oldest: float | None = None
        self.copied = False


class Mirror:
    """The ``Engine`` that reads the templates on first use and brings them up to date before each search.

    Args:
        shelf: which gallery.
        snapshot: the file that it may begin with, and that ``save`` writes; None: there is no place for one.
    """

    def __init__(self, shelf: Shelf, snapshot: SnapshotFile | None = None) -> None:
        self._shelf = shelf
        self._snapshot = snapshot
        self._lock = threading.RLock()
        self._held: _Held | None = None
        self._version: Hashable = None
        self._names: dict[int, str] = {}
        self._untidy = False
        self._tell: Callable[[int], None] | None = None

    def close(self) -> None:
        """See ``Engine.close``."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._held, self._version, self._names = None, None, {}

    def search(
        self,
        probes: Templates,
        *,
        top: int,
        threshold: float | None,
        allowed: NDArray[np.int64] | None,
        cutoff: float | None,
    ) -> list[list[Match]]:
        """See ``Engine.search``."""
        for _ in range(_ATTEMPTS):
            with self._lock:
                held = self._current(cutoff)
                if held is None:
                    return [[] for _ in range(len(probes))]
                require_fit(probes, held.space, held.index.dimension)
                snapshot = held.index.snapshot(self._shelf.options.fusion)
            scores, ids, numbers, counts = snapshot.rank(probes.vectors, top=top, threshold=threshold, allowed=allowed)
            ranked = [
                [array[row, :count].tolist() for array in (numbers, scores, ids)]
                for row, count in enumerate(counts.tolist())
            ]
            found = {number for numbers_of_row, _, _ in ranked for number in numbers_of_row}
            names = self._named(found)
            # Someone who was found may have been removed since; then the search is made anew without them.
            if len(names) == len(found):
                return [
                    [
                        Match(names[number], score, rank, id_)
                        for rank, (number, score, id_) in enumerate(zip(*columns, strict=True), start=1)
                    ]
                    for columns in ranked
                ]
        with self._shelf.database.reading() as session:
            raise orphaned(session, self._shelf)

    def count(self, cutoff: float | None) -> int | None:
        """See ``Engine.count``: known while the copy in memory is that of the database now."""
        with self._lock:
            held = self._held
            current = held is not None and self._shelf.database.version() == self._version
            return len(held.index) if held is not None and current and not self._has_expired(cutoff) else None

    def _named(self, numbers: Iterable[int]) -> dict[int, str]:
        known = self._names
        names = {number: known[number] for number in numbers if number in known}
        missing = [number for number in numbers if number not in names]
        if missing:
            with self._shelf.database.reading() as session:
                new = identity_names(session, self._shelf, missing)
            names.update(new)
            with self._lock:
                if self._names is known:
                    # Else someone was renamed since these were read.
                    if len(known) + len(new) > _MOST_NAMES:
                        self._names = {}
                    self._names.update(new)
        return names

    def _current(self, cutoff: float | None) -> _Held | None:
        """The templates as they are now and have not expired, or None before the first enrollment."""
        database = self._shelf.database
        for attempt in range(1, _ATTEMPTS + 1):
            version = database.version()
            if version == self._version and not self._has_expired(cutoff):
                break
            # Before the transaction: so it knows of all removals that are erased in the file.
            copy = self._copy()
            try:
                with database.reading() as session:
                    self._refresh_whole(session, cutoff, copy)
            except BadGallery:
                # Where no lock keeps a file from being changed while it is read, what was read may look damaged.
                if attempt == _ATTEMPTS or database.version() == version:
                    raise
                self._forget()
                continue
            self._version = version
            self._tidy()
            break
        return self._held

    def _copy(self) -> Copy | None:
        """What the snapshot holds, where there is nothing in memory yet."""
        return self._snapshot.load() if self._held is None and self._snapshot is not None else None

    def _tidy(self) -> None:
        """Remove what is left of a snapshot of another state, or of one that was never finished."""
        if not self._untidy:
            return
        self._untidy = False
        database, shelf = self._shelf.database, self._shelf
        if self._snapshot is not None and self._snapshot.is_left() and not database.read_only:
            # Where nobody else writes: another process may just be writing a new one.
            with suppress(GalleryError), database.writing(shelf.gallery_id, wait=False) as session:
                ((token,),) = session.execute("SELECT snapshot FROM galleries WHERE id = ?", (shelf.gallery_id,))
                self._snapshot.remove_unless(token)

    def _has_expired(self, cutoff: float | None) -> bool:
        held = self._held
        return cutoff is not None and held is not None and held.oldest is not None and held.oldest < cutoff

    def _refresh_whole(self, session: Session, cutoff: float | None, copy: Copy | None) -> None:
        """Refresh, or forget everything: what was read by halves must not be searched."""
        try:
            self._refresh(session, cutoff, copy)
        except BaseException:
            self._forget()
            raise

    def _refresh(self, session: Session, cutoff: float | None, copy: Copy | None) -> None:
        shelf = self._shelf
        rows = session.execute(
            "SELECT space, dimension, epoch, snapshot, last_template FROM galleries WHERE id = ?", (shelf.gallery_id,)
        )
        if not rows:
            raise removed_meanwhile(shelf)
        ((space, dimension, epoch, token, last_template),) = rows
        if space is None:
            return
        ((oldest, newest),) = session.execute(
            "SELECT (SELECT min(id) FROM removals WHERE gallery_id = ?), "
            "(SELECT coalesce(max(id), 0) FROM removals WHERE gallery_id = ?)",
            (shelf.gallery_id, shelf.gallery_id),
        )
        held, erased = self._held, _column([])
        if held is None and copy is not None:
            held, erased = self._loaded(copy, space, dimension, epoch, token), copy.erased
        loaded = held is not None and self._held is None
        fresh, removed, moved = held is None, _column([]), _column([])
        if held is not None:
            query = "SELECT template_id FROM removals WHERE gallery_id = ? AND id > ?"
            if newest > held.last_removal:
                logged = _column(session.execute(query, (shelf.gallery_id, held.last_removal)))
                removed, moved = logged[logged > 0], -logged[logged < 0]
            fresh = held.epoch != epoch or (oldest is not None and held.last_removal < oldest - 1)
            # A backup that was put back is behind what is in memory, or in the file.
            fresh = fresh or held.last_template > last_template or held.last_removal > newest
            fresh = fresh or not np.isin(erased, removed).all()
        if held is None or fresh:
            self._untidy = True
            if loaded:
                self._erase_in_snapshot(None)
            held = _Held(space, epoch, SearchIndex(dimension, shelf.options.codec), 0, 0)
            ((count,),) = session.execute("SELECT count(*) FROM templates WHERE gallery_id = ?", (shelf.gallery_id,))
            held.index.reserve(count)
            self._names = {}
            removed, moved = _column([]), _column([])
        # Additions first: an identity may have lost its old templates after it was given new ones.
        self._read_new(session, held)
        if len(removed):
            before = len(held.index)
            self._drop(held, removed)
            if loaded and len(held.index) < before:
                # Who removed them did not live long enough to erase them there as well.
                self._erase_in_snapshot(removed.tolist())
        if len(moved):
            self._read_again(session, held, moved)
        held.last_removal = newest
        if cutoff is not None:
            query = "SELECT id FROM templates WHERE gallery_id = ? AND created < ?"
            self._drop(held, _column(session.execute(query, (shelf.gallery_id, cutoff))))
            query = "SELECT min(created) FROM templates WHERE gallery_id = ? AND created >= ?"
            held.oldest = session.execute(query, (shelf.gallery_id, cutoff))[0][0]
        self._held = held

    def _loaded(self, copy: Copy, space: str, dimension: int, epoch: int, token: str | None) -> _Held | None:
        """What the snapshot holds, if it is of this gallery as it was at some time since the epoch began."""
        index, facts = copy.index, copy.facts
        if token is None or facts.get("token") != token:
            return None
        fits = (index.dimension, index.codec, facts["epoch"]) == (dimension, self._shelf.options.codec, epoch)
        if not fits:
            return None
        held = _Held(space, epoch, index, facts["last_template"], facts["last_removal"])
        held.copied = True
        return held

    def _erase_in_snapshot(self, template_ids: list[int] | None) -> None:
        if self._snapshot is not None and not self._shelf.database.read_only:
            # A folder that is read-only here is left to those who may write there.
            with suppress(GalleryError):
                self._snapshot.erase(template_ids)

    def save(self, session: Session, tell: Callable[[int], None] | None = None) -> None:
        """Write the snapshot, inside a writing transaction: what is removed later will so be erased in it as well.

        Args:
            session: the transaction.
            tell: is given how many more templates were read, or written.

        Raises:
            GalleryError: the folder cannot be written, or the disk is full.
        """
        if self._snapshot is None:
            return
        with self._lock:
            if self._held is not None and self._held.copied:
                # What is wrong in the file that it came from must not get into the next one.
                self._forget()
            self._tell = tell
            try:
                self._refresh_whole(session, self._shelf.cutoff(), None)
            finally:
                self._tell = None
            # Others may have written since: the next search looks again.
            self._version = None
            held = self._held
            if held is None:
                return
            token = new_token()
            facts: dict[str, Any] = {"token": token, "epoch": held.epoch}
            facts |= {"last_template": held.last_template, "last_removal": held.last_removal}
            self._snapshot.save(held.index, facts, tell)
        session.execute("UPDATE galleries SET snapshot = ? WHERE id = ?", (token, self._shelf.gallery_id))

    def _drop(self, held: _Held, ids: NDArray[np.int64]) -> None:
        if len(ids):
            for number in held.index.remove(ids):
                self._names.pop(number, None)

    def _read_again(self, session: Session, held: _Held, ids: NDArray[np.int64]) -> None:
        """Read templates that belong to another identity, or to one of another name, than when they were read."""
        # A new dictionary: what a search is just adding to the former one may be of before.
        self._names = {}
        held.index.remove(ids)
        for part in chunks(np.unique(ids).tolist()):
            self._take(
                held,
                session.execute(
                    f"SELECT id, identity_id, vector FROM templates WHERE gallery_id = ? AND id IN {marks(part)}",
                    (self._shelf.gallery_id, *part),
                ),
            )

    def _take(self, held: _Held, rows: list[Row]) -> None:
        if rows:
            ids, numbers, stored = zip(*rows, strict=True)
            templates = self._shelf.sealer.templates(stored, ids, numbers, held.space, held.index.dimension)
            held.index.add(ids, numbers, templates.vectors)

    def _read_new(self, session: Session, held: _Held) -> None:
        """Read templates that are not in memory yet; ids are given out in rising order."""
        shelf, dimension = self._shelf, held.index.dimension
        parts = session.stream(
            "SELECT id, identity_id, vector FROM templates WHERE gallery_id = ? AND id > ? ORDER BY id",
            (shelf.gallery_id, held.last_template),
            rows=max(16, _PART_BYTES // stored_width(shelf.options.codec, dimension)),
        )
        for rows in parts:
            self._take(held, rows)
            held.last_template = rows[-1][0]
            if self._tell is not None:
                self._tell(len(rows))


def _column(rows: list[Row]) -> NDArray[np.int64]:
    """Rows of one number each."""
    return np.array(rows, np.int64).reshape(-1)
