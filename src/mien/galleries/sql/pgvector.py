"""Search by the database itself, with pgvector; exact, without an approximate index.

pgvector sums in float32, in an order of its own, so its scores may differ from mien's in the last bits. It is asked for
a few more candidates than are wanted. These are scored and ranked here, and more of them are asked for until nothing
that was left out can be among the best.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadGallery, GalleryLocked
from mien.galleries.batch import require_fit
from mien.galleries.sql.database import Row, Session
from mien.galleries.sql.pgvector_table import State, bring_up_to_date, extension_schema, prepare, state_of
from mien.galleries.sql.postgres import PostgresDatabase
from mien.galleries.sql.shelf import Shelf
from mien.matching import Fusion, SearchIndex
from mien.types import FloatArray, Match, Templates

__all__ = ["PgvectorEngine"]

_MOST_BEHIND = 100_000
_TEMPLATES_AN_IDENTITY = 4
_SPARE = 60
_MORE = 8


class PgvectorEngine:
    """The ``Engine`` that lets the server compare every template, by pgvector's inner product.

    Args:
        shelf: which gallery.

    Raises:
        BadGallery: the gallery is not in PostgreSQL, is encrypted or holds int8 alone, or the server has no pgvector.
        GalleryError: the role lacks a permission.
    """

    def __init__(self, shelf: Shelf) -> None:
        place, options = shelf.place, shelf.options
        if not isinstance(shelf.database, PostgresDatabase):
            raise BadGallery(f"{place}: engine=pgvector needs a gallery in PostgreSQL")
        if options.encrypted:
            raise BadGallery(f"{place}: engine=pgvector cannot search an encrypted gallery: use engine=ram")
        if options.codec == "int8-only":
            raise BadGallery(f"{place}: engine=pgvector needs vectors in float32, the gallery has codec=int8-only")
        self._shelf = shelf
        self._database = shelf.database
        self._fusion: Fusion = options.fusion
        prepare(self._database)

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
        self._bring_up_to_date()
        with self._database.reading() as session:
            state = state_of(session, self._shelf)
            if state.space is None:
                return [[] for _ in range(len(probes))]
            require_fit(probes, state.space, state.dimension)
            scan = _Scan(session, self._shelf, state, allowed, cutoff)
            top = min(top, max(1, state.last))
            return [self._best(scan, probe, top, threshold) for probe in probes.vectors]

    def _bring_up_to_date(self) -> None:
        with self._database.reading() as session:
            complete = state_of(session, self._shelf).complete
        if not complete and not self._database.read_only:
            # Whoever is writing at this moment is not waited for: what is missing is then compared here.
            with suppress(GalleryLocked):
                bring_up_to_date(self._database, self._shelf)

    def _best(self, scan: _Scan, probe: FloatArray, top: int, threshold: float | None) -> list[Match]:
        fusion: Fusion | None = None if self._fusion == "max" else "mean"
        limit = _TEMPLATES_AN_IDENTITY * top + _SPARE
        # A sum of d products of float32 numbers, in whatever order, is off by at most d units in the last place.
        margin = (len(probe) + 16) * 2.0**-23
        while True:
            rows, least = scan.candidates(probe, limit, fusion, margin)
            found = self._ranked(scan.state, rows, probe, top, threshold)
            if least is None or (threshold is not None and least + margin < threshold):
                return found
            if len(found) == top and found[-1].score > least + margin:
                return found
            # Many templates of few identities, or many alike: from here on by whole identities, more each time.
            limit = top + _SPARE if fusion is None else _MORE * limit
            fusion = self._fusion

    def _ranked(
        self, state: State, rows: list[Row], probe: FloatArray, top: int, threshold: float | None
    ) -> list[Match]:
        if not rows:
            return []
        ids, numbers, stored, names = zip(*rows, strict=True)
        vectors = self._shelf.sealer.templates(stored, ids, numbers, state.space or "", state.dimension).vectors
        # The index wants small numbers.
        _, first, places = np.unique(np.array(numbers), return_index=True, return_inverse=True)
        index = SearchIndex(state.dimension, threads=1)
        index.add(ids, places.ravel(), vectors)
        names_of = [names[row] for row in first.tolist()]
        return index.search(probe[None], names_of, top=top, threshold=threshold, fusion=self._fusion)[0]

    def count(self, cutoff: float | None) -> int | None:
        """See ``Engine.count``: nothing is held."""
        return None

    def close(self) -> None:
        """Nothing is held."""


class _Scan:
    """What one search asks of the database, in one transaction."""

    def __init__(
        self,
        session: Session,
        shelf: Shelf,
        state: State,
        allowed: NDArray[np.int64] | None,
        cutoff: float | None,
    ) -> None:
        self.state = state
        self._session = session
        self._gallery_id = shelf.gallery_id
        self._place = shelf.place
        self._schema = extension_schema(session)
        self._cutoff = cutoff
        self._filters: dict[str, object] = {}
        if allowed is not None:
            self._filters["identity_id = ANY(CAST(? AS BIGINT[]))"] = allowed.tolist()
        if cutoff is not None:
            self._filters["created >= ?"] = cutoff
        self._behind: list[Row] = []
        if not state.complete:
            self._look_at_what_is_behind()

    def _look_at_what_is_behind(self) -> None:
        """Read the identities of which the table does not hold everything yet, and leave them out of the scan."""
        rows = self._session.execute(
            "SELECT identity_id, count(*) FROM templates WHERE gallery_id = ? AND id > ? GROUP BY identity_id",
            (self._gallery_id, 0 if self.state.until is None else self.state.until),
        )
        missing = sum(count for _, count in rows)
        if missing > _MOST_BEHIND:
            raise GalleryLocked(
                f"{self._place}: pgvector's table lacks {missing} templates; it is filled by a search that may write, "
                "while nobody else is writing"
            )
        identities = [identity for identity, _ in rows]
        self._behind = self._session.execute(
            "SELECT t.id, t.identity_id, t.vector, i.name FROM templates t "
            "JOIN identities i ON i.gallery_id = t.gallery_id AND i.id = t.identity_id "
            "WHERE t.gallery_id = ? AND t.identity_id = ANY(CAST(? AS BIGINT[]))" + self._where("t."),
            (self._gallery_id, identities, *self._filters.values()),
        )
        self._filters["identity_id <> ALL(CAST(? AS BIGINT[]))"] = identities

    def _where(self, table: str = "") -> str:
        return "".join(f" AND {table}{condition}" for condition in self._filters)

    def candidates(
        self, probe: FloatArray, limit: int, fusion: Fusion | None, margin: float
    ) -> tuple[list[Row], float | None]:
        """Templates that may be among a probe's best: id, identity's number, stored vector, identity's name.

        Args:
            probe: ``(d,) float32``.
            limit: how many templates, or how many identities.
            fusion: None for the best templates; ``max`` for the best identities with those of their templates that
                may be their best; ``mean`` for the best identities with all their templates.
            margin: by how much the server's scores may be off.

        Returns:
            The rows, and what the server's score of anything left out is at most; None if nothing was left out.
        """
        if self.state.until is None:
            return self._behind, None
        text = _text(probe)
        score = f"-(embedding OPERATOR({self._schema}.<#>) CAST(? AS {self._schema}.vector))"
        what, group, on = f"template_id, identity_id, {score}", "", "t.id = c.template_id"
        values: list[object] = []
        if fusion is not None:
            what = f"identity_id, {'avg' if fusion == 'mean' else 'max'}({score})"
            group, on = "GROUP BY identity_id", "t.identity_id = c.identity_id"
        if fusion is not None and self._cutoff is not None:
            on += " AND t.created >= ?"
            values.append(self._cutoff)
        if fusion == "max":
            on += (
                " AND EXISTS (SELECT 1 FROM searchable s WHERE s.gallery_id = t.gallery_id AND s.template_id = t.id "
                f"AND {score} >= c.score - ?)"
            )
            values += [text, 2 * margin]
        # LEFT JOIN: a row without its template is damage, and must not pass for the end of the rows.
        rows = self._session.execute(
            f"SELECT t.id, c.identity_id, t.vector, i.name, c.score FROM (SELECT {what} AS score FROM searchable "
            f"WHERE gallery_id = ?{self._where()} {group} ORDER BY score DESC LIMIT ?) c "
            f"LEFT JOIN templates t ON t.gallery_id = ? AND {on} "
            "LEFT JOIN identities i ON i.gallery_id = t.gallery_id AND i.id = t.identity_id",
            (text, self._gallery_id, *self._filters.values(), limit, self._gallery_id, *values),
        )
        if any(name is None for _, _, _, name, _ in rows):
            raise BadGallery(f"{self._place}: pgvector's table holds templates that the gallery does not hold: damaged")
        count = len(rows) if fusion is None else len({row[1] for row in rows})
        least = min(row[4] for row in rows) if count == limit else None
        return [*self._behind, *(row[:4] for row in rows)], least


def _text(vector: FloatArray) -> str:
    """A vector as pgvector reads it, every float32 exact."""
    return f"[{','.join(map(repr, vector.tolist()))}]"
