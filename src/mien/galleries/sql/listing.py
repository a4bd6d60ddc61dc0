"""Which galleries a SQL database holds, and how much is in each."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mien.errors import BadGallery
from mien.galleries.keeper import cutoff
from mien.galleries.options import from_json
from mien.galleries.protocol import GalleryOptions
from mien.galleries.sql.database import Database, Row, Session

__all__ = ["GallerySummary", "summaries"]


@dataclass(frozen=True, slots=True)
class GallerySummary:
    """One gallery, as far as it is known without its key.

    Attributes:
        name: its name at that place.
        space: its embedding space, or None before the first enrollment.
        dimension: length of a template, or None.
        options: how it keeps what it holds.
        identities: how many identities there are.
        templates: how many templates.
        mapped: how many of these came out of a learned map.
        portraits: how many of these have a portrait.
        target: the space that it is migrating to, or None.
        migrated: how many of the templates have their vector in that space; 0 where there is no target.
    """

    name: str
    space: str | None
    dimension: int | None
    options: GalleryOptions
    identities: int
    templates: int
    mapped: int
    portraits: int
    target: str | None
    migrated: int = 0


def summaries(database: Database) -> list[GallerySummary]:
    """Every gallery of a database, sorted by name; what has expired is not counted.

    Raises:
        BadGallery: a gallery's row is damaged.
    """
    with database.reading() as session:
        rows = session.execute("SELECT id, name, space, dimension, options, target FROM galleries ORDER BY name")
        found = [_summary(session, f"{database.place}, gallery {row[1]!r}", row) for row in rows]
    return sorted(found, key=lambda summary: summary.name)


def _summary(session: Session, place: str, row: Row) -> GallerySummary:
    gallery_id, name, space, dimension, text, target = row
    options = from_json(text, place)
    try:
        target_space = None if target is None else str(json.loads(target)["space"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadGallery(f"{place}: the target of its migration is damaged") from error
    first_kept = cutoff(options.retention_days)
    kept, parameters = ("", ()) if first_kept is None else (" AND t.created >= ?", (first_kept,))

    which = (gallery_id, *parameters)

    def count(query: str) -> int:
        return int(session.execute(f"{query}{kept}", which)[0][0])

    def beside(table: str) -> int:
        """How many rows of a table belong to templates that are there."""
        if not kept:
            return count(f"SELECT count(*) FROM {table} WHERE gallery_id = ?")
        return count(
            f"SELECT count(*) FROM {table} x JOIN templates t ON t.gallery_id = x.gallery_id AND t.id = x.template_id "
            "WHERE x.gallery_id = ?"
        )

    templates = "SELECT count(*) FROM templates t WHERE t.gallery_id = ?"
    return GallerySummary(
        name=str(name),
        space=space,
        dimension=dimension,
        options=options,
        identities=count(
            "SELECT count(DISTINCT t.identity_id) FROM templates t WHERE t.gallery_id = ?"
            if kept
            else "SELECT count(*) FROM identities WHERE gallery_id = ?"
        ),
        templates=count(templates),
        mapped=count(f"{templates} AND t.mapped <> 0"),
        portraits=beside("portraits"),
        target=target_space,
        migrated=0 if target is None else beside("pending"),
    )
