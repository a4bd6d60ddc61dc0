"""Which galleries a Milvus holds, and whether one can be made there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from mien.errors import GalleryNotFound
from mien.galleries.milvus.connection import Connection
from mien.galleries.milvus.gallery import MilvusGallery
from mien.galleries.milvus.ledger import names
from mien.galleries.milvus.local import require_folder
from mien.galleries.milvus.schema import open_facts
from mien.galleries.sql.listing import GallerySummary
from mien.galleries.urls import GalleryUrl

__all__ = ["require_place", "summaries"]


def summaries(url: GalleryUrl) -> list[GallerySummary]:
    """Every gallery of a Milvus database or file, sorted by name; identities are counted by reading their names.

    Raises:
        BadGallery: there is no gallery.
        GalleryError: the place cannot be read.
    """
    connection = Connection(url, False)
    try:
        if not open_facts(connection, False):
            raise GalleryNotFound(f"no gallery at {url.place}")
        found = []
        for name in names(connection):
            with MilvusGallery(replace(url, name=name, mode="ro", key_file=None, named={}), False) as gallery:
                found.append(
                    GallerySummary(
                        name=name,
                        space=gallery.space,
                        dimension=gallery.dimension,
                        options=gallery.options,
                        identities=gallery.count_identities(),
                        templates=len(gallery),
                        mapped=0,
                        portraits=0,
                        target=None,
                    )
                )
        return found
    finally:
        connection.close()


def require_place(url: GalleryUrl) -> None:
    """Check that there is a Milvus for a URL, or room to make one in a file; makes nothing.

    Raises:
        BadGallery: something else is there.
        GalleryError: there is no such folder, or the server cannot be reached.
    """
    if url.path:
        require_folder(Path(os.path.realpath(url.path)), create=True)
    else:
        Connection(url, False).close()
