"""Which galleries a SQL database holds, and how much is in each."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mien.errors import BadGallery
from mien.galleries.options import from_json
from mien.galleries.protocol import GalleryOptions
from mien.galleries.sql.database import Database

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


def summaries(database: Database) -> list[GallerySummary]:
    """Every gallery of a database, sorted by name.

    Raises:
        BadGallery: a gallery's row is damaged.
    """
    counted = ", ".join(
        f"(SELECT count(*) FROM {rest} AND x.gallery_id = g.id)"
        for rest in (
            "identities x WHERE 1 = 1",
            "templates x WHERE 1 = 1",
            "templates x WHERE x.mapped <> 0",
            "portraits x WHERE 1 = 1",
        )
    )
    query = f"SELECT g.name, g.space, g.dimension, g.options, g.target, {counted} FROM galleries g ORDER BY g.name"
    with database.reading() as session:
        rows = session.execute(query)
    found = []
    for name, space, dimension, options, target, *counts in rows:
        place = f"{database.place}, gallery {name!r}"
        try:
            target_space = None if target is None else str(json.loads(target)["space"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadGallery(f"{place}: the target of its migration is damaged") from error
        identities, templates, mapped, portraits = (int(count) for count in counts)
        found.append(
            GallerySummary(
                name=str(name),
                space=space,
                dimension=dimension,
                options=from_json(options, place),
                identities=identities,
                templates=templates,
                mapped=mapped,
                portraits=portraits,
                target=target_space,
            )
        )
    return sorted(found, key=lambda summary: summary.name)
