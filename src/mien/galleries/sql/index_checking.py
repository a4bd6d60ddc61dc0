"""Whether the snapshot of an index is the copy of the templates that it should be, number by number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mien.errors import BadInput
from mien.galleries.sql.database import Session
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.galleries.sql.snapshot import SnapshotFile
from mien.galleries.sql.wording import first_ten, plural
from mien.matching import SearchIndex
from mien.types import FloatArray

__all__ = ["IndexCheck", "index_check"]

_CURE = "mien gallery compact writes it anew"
_LAST_ID = 2**63 - 2


def index_check(session: Session, shelf: Shelf, snapshot: SnapshotFile | None) -> IndexCheck | str | None:
    """What compares a gallery's snapshot with its templates, a line if that cannot be, or None if there is none."""
    if snapshot is None or not snapshot.exists():
        return None
    ((space, dimension, epoch, token, last_template),) = session.execute(
        "SELECT space, dimension, epoch, snapshot, last_template FROM galleries WHERE id = ?", (shelf.gallery_id,)
    )
    try:
        index, facts = SearchIndex.load(snapshot.path)
    except FileNotFoundError:
        return None
    except BadInput as error:
        return f"{error.message}; it is not used, and {_CURE}"
    except OSError as error:
        return f"{snapshot.path}: the index cannot be read: {error.strerror}; {_CURE}"
    own = (facts.get("token"), facts.get("epoch"), index.dimension, index.codec)
    fits = space is not None and own == (token, epoch, dimension, shelf.options.codec)
    if not fits or facts["last_template"] > last_template or not _follows(session, shelf, index, facts):
        return f"{snapshot.path}: the index is of another state of the gallery and is not used; {_CURE}"
    return IndexCheck(shelf, snapshot, index, facts)


def _follows(session: Session, shelf: Shelf, index: SearchIndex, facts: dict[str, Any]) -> bool:
    """Whether the log of removals begins where the index ends, and has all that was erased in its file."""
    rows = session.execute("SELECT id, template_id FROM removals WHERE gallery_id = ? ORDER BY id", (shelf.gallery_id,))
    numbers, ids = np.array(rows, np.int64).reshape(-1, 2).T
    last = facts["last_removal"]
    if last > (numbers[-1] if len(numbers) else 0) or (len(numbers) and last < numbers[0] - 1):
        return False
    return bool(np.isin(index.removed_ids(), ids[numbers > last]).all())


class IndexCheck:
    """Compares part by part, by rising template ids, in the memory that two parts take.

    Args:
        shelf: which gallery.
        snapshot: its snapshot.
        index: what that holds.
        facts: what else.
    """

    def __init__(self, shelf: Shelf, snapshot: SnapshotFile, index: SearchIndex, facts: dict[str, Any]) -> None:
        self._shelf, self._path, self._index = shelf, snapshot.path, index
        self._last_template, self._last_removal = int(facts["last_template"]), int(facts["last_removal"])
        self._ids = index.ids()
        self._next = 0
        self._other: list[int] = []
        self._lacking: list[int] = []
        self._beyond: list[int] = []

    def meet(self, ids: Sequence[int]) -> None:
        """These are the next ids of the gallery: what else the index has below the last of them is too much."""
        self._look_beyond(int(ids[-1]), ids)

    def compare(self, ids: Sequence[int], numbers: Sequence[int], vectors: FloatArray) -> None:
        """Compare templates of the gallery: their ids, identities and ``(n, d) float32`` vectors."""
        expected = SearchIndex(self._index.dimension, self._index.codec)
        expected.add(ids, numbers, vectors)
        held = self._index.rows(ids)
        self._lacking += [id_ for id_ in set(ids).difference(held.ids.tolist()) if id_ <= self._last_template]
        if not len(held):
            return
        (wanted,) = expected.snapshot().segments
        if len(held) < len(wanted):
            wanted = expected.rows(held.ids)
        wrong = held.identities != wanted.identities
        for one, other in zip(held.arrays[:3], wanted.arrays[:3], strict=True):
            # As bytes, so that no two numbers are taken for equal that are not the same.
            if one is not None and other is not None and one.tobytes() != other.tobytes():
                pair = (np.ascontiguousarray(array).view(np.uint8).reshape(len(held), -1) for array in (one, other))
                wrong |= np.not_equal(*pair).any(axis=1)
        self._other += held.ids[wrong].tolist()

    def _look_beyond(self, last: int, ids: Sequence[int]) -> None:
        start, stop = (int(np.searchsorted(self._ids, id_)) for id_ in (self._next, last + 1))
        self._beyond += np.setdiff1d(self._ids[start:stop], np.asarray(ids, np.int64)).tolist()
        self._next = last + 1

    def faults(self) -> Iterator[str]:
        """What is wrong, a line for each kind, once all is compared; others may have changed the gallery meanwhile."""
        self._look_beyond(_LAST_ID, ())
        with self._shelf.database.reading() as session:
            other = self._present(session, self._other)
            lacking = self._present(session, self._lacking)
            query = "SELECT template_id FROM removals WHERE gallery_id = ? AND id > ?"
            # With a minus: those that have gone to another identity.
            removed = {int(id_) for (id_,) in session.execute(query, (self._shelf.gallery_id, self._last_removal))}
        for what, ids in (
            ("holds other numbers than the gallery for", [id_ for id_ in other if -id_ not in removed]),
            ("lacks", lacking),
            ("holds what the gallery does not:", [id_ for id_ in self._beyond if id_ not in removed]),
        ):
            if ids:
                yield (
                    f"{self._path}: the index is damaged: it {what} {plural(len(ids), 'template')} ({first_ten(ids)}); "
                    f"searches may answer wrongly until it is written anew (mien gallery compact)"
                )

    def _present(self, session: Session, ids: Sequence[int]) -> list[int]:
        """Those that are there and have not expired: an index is written without what has."""
        condition, parameters = self._shelf.shown("templates")
        found: list[int] = []
        for part in chunks(sorted(ids)):
            query = f"SELECT id FROM templates WHERE gallery_id = ? AND id IN {marks(part)}{condition} ORDER BY id"
            rows = session.execute(query, (self._shelf.gallery_id, *part, *parameters))
            found += [int(id_) for (id_,) in rows]
        return found
