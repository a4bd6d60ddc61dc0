"""The copy in memory that a SQL gallery searches, kept equal to the database whichever process changes it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadGallery, GalleryError
from mien.galleries.batch import require_fit
from mien.galleries.sql.database import Session
from mien.galleries.sql.reading import identity_names
from mien.galleries.sql.shelf import Shelf
from mien.galleries.sql.snapshot import SnapshotFile, new_token
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
        raise BadGallery(f"{self._shelf.place}: there are templates without an identity")

    def _named(self, numbers: Iterable[int]) -> dict[int, str]:
        known = self._names
        names = {number: known[number] for number in numbers if number in known}
        missing = [number for number in numbers if number not in names]
        if missing:
            with self._shelf.database.reading() as session:
                new = identity_names(session, self._shelf, missing)
            names.update(new)
            with self._lock:
                if len(self._names) + len(new) > _MOST_NAMES:
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
            try:
                with database.reading() as session:
                    self._refresh_whole(session, cutoff)
            except BadGallery:
                # Where no lock keeps a file from being changed while it is read, what was read may look damaged.
                if attempt == _ATTEMPTS or database.version() == version:
                    raise
                self._forget()
                continue
            self._version = version
            break
        return self._held

    def _has_expired(self, cutoff: float | None) -> bool:
        held = self._held
        return cutoff is not None and held is not None and held.oldest is not None and held.oldest < cutoff

    def _refresh_whole(self, session: Session, cutoff: float | None) -> None:
        """Refresh, or forget everything: what was read by halves must not be searched."""
        try:
            self._refresh(session, cutoff)
        except BaseException:
            self._forget()
            raise

    def _refresh(self, session: Session, cutoff: float | None) -> None:
        shelf = self._shelf
        ((space, dimension, epoch, token),) = session.execute(
            "SELECT space, dimension, epoch, snapshot FROM galleries WHERE id = ?", (shelf.gallery_id,)
        )
        if space is None:
            return
        ((oldest, newest),) = session.execute(
            "SELECT (SELECT min(id) FROM removals WHERE gallery_id = ?), "
            "(SELECT max(id) FROM removals WHERE gallery_id = ?)",
            (shelf.gallery_id, shelf.gallery_id),
        )
        held, loaded = self._held, False
        if held is None:
            held = self._loaded(space, dimension, epoch, token)
            loaded = held is not None
        fresh = held is None or held.epoch != epoch or (oldest is not None and held.last_removal < oldest - 1)
        if held is None or fresh:
            if loaded:
                self._erase_in_snapshot(None)
            held = _Held(space, epoch, SearchIndex(dimension, shelf.options.codec), 0, 0)
            ((count,),) = session.execute("SELECT count(*) FROM templates WHERE gallery_id = ?", (shelf.gallery_id,))
            held.index.reserve(count)
            self._names = {}
        # Additions first: an identity may have lost its old templates after it was given new ones.
        self._read_new(session, held)
        if not fresh and newest is not None and newest > held.last_removal:
            query = "SELECT template_id FROM removals WHERE gallery_id = ? AND id > ?"
            removed = session.execute(query, (shelf.gallery_id, held.last_removal))
            before = len(held.index)
            self._drop(held, removed)
            if loaded and len(held.index) < before:
                # Who removed them did not live long enough to erase them there as well.
                self._erase_in_snapshot([id_ for (id_,) in removed])
        held.last_removal = 0 if newest is None else newest
        if cutoff is not None:
            query = "SELECT id FROM templates WHERE gallery_id = ? AND created < ?"
            self._drop(held, session.execute(query, (shelf.gallery_id, cutoff)))
            query = "SELECT min(created) FROM templates WHERE gallery_id = ? AND created >= ?"
            held.oldest = session.execute(query, (shelf.gallery_id, cutoff))[0][0]
        self._held = held

    def _loaded(self, space: str, dimension: int, epoch: int, token: str | None) -> _Held | None:
        """What the snapshot holds, if it is of this gallery as it was at some time since the epoch began."""
        loaded = None if self._snapshot is None or token is None else self._snapshot.load(token)
        if loaded is None:
            return None
        index, facts = loaded
        fits = (index.dimension, index.codec, facts["epoch"]) == (dimension, self._shelf.options.codec, epoch)
        return _Held(space, epoch, index, facts["last_template"], facts["last_removal"]) if fits else None

    def _erase_in_snapshot(self, template_ids: list[int] | None) -> None:
        if self._snapshot is not None and not self._shelf.database.read_only:
            # A folder that is read-only here is left to those who may write there.
            with suppress(GalleryError):
                self._snapshot.erase(template_ids)

    def save(self, session: Session) -> None:
        """Write the snapshot, inside a writing transaction: what is removed later will so be erased in it as well.

        Raises:
            GalleryError: the folder cannot be written, or the disk is full.
        """
        if self._snapshot is None:
            return
        with self._lock:
            self._refresh_whole(session, self._shelf.cutoff())
            # Others may have written since: the next search looks again.
            self._version = None
            held = self._held
            if held is None:
                return
            token = new_token()
            facts: dict[str, Any] = {"token": token, "epoch": held.epoch}
            facts |= {"last_template": held.last_template, "last_removal": held.last_removal}
            self._snapshot.save(held.index, facts)
        session.execute("UPDATE galleries SET snapshot = ? WHERE id = ?", (token, self._shelf.gallery_id))

    def _drop(self, held: _Held, rows: list[tuple[int]]) -> None:
        if rows:
            for number in held.index.remove(np.array(rows, np.int64)[:, 0]):
                self._names.pop(number, None)

    def _read_new(self, session: Session, held: _Held) -> None:
        """Read templates that are not in memory yet; ids are given out in rising order."""
        shelf, dimension = self._shelf, held.index.dimension
        parts = session.stream(
            "SELECT id, identity_id, vector FROM templates WHERE gallery_id = ? AND id > ? ORDER BY id",
            (shelf.gallery_id, held.last_template),
            rows=max(16, _PART_BYTES // stored_width(shelf.options.codec, dimension)),
        )
        for rows in parts:
            ids, numbers, stored = zip(*rows, strict=True)
            templates = shelf.sealer.templates(stored, ids, numbers, held.space, dimension)
            held.index.add(ids, numbers, templates.vectors)
            held.last_template = ids[-1]
