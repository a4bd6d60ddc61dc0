"""A half-done migration, found and told."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from mien.errors import GalleryError

if TYPE_CHECKING:
    from mien.galleries.exchange_rows import Migration

__all__ = ["migration_of", "migration_words"]


def migration_of(url: str, name: str) -> Migration | None:
    """The migration that the gallery of that name, at the place of a URL, is in; None if it cannot be opened (no key).

    Nothing is changed, not even what has expired is erased.
    """
    from mien.galleries import Migratable, open_gallery
    from mien.galleries.options import STORED_OPTIONS

    # What the URL says of one gallery need not hold for the others of the place.
    place, _, query = url.partition("?")
    of_one = {"name", "mode", "engine", *STORED_OPTIONS}
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in of_one]
    try:
        with open_gallery(f"{place}?{'&'.join([*kept, f'name={quote(name)}', 'mode=ro'])}", create=False) as gallery:
            return gallery.migration() if isinstance(gallery, Migratable) else None
    except GalleryError:
        return None


def migration_words(target: str, migration: Migration | None) -> str:
    """How far a gallery is on its way, for people."""
    counts = "" if migration is None else f": {migration.done} of {migration.done + migration.left}"
    return f"migrating to {target}{counts}"
