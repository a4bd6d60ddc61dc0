"""Galleries: templates enrolled under identities, kept, removed and searched.

- ``opening``: ``open_gallery(url)``, the way in; ``urls`` says what a URL may hold.
- ``protocol``: ``Gallery``, what every back end can do; one contract test suite runs against all of them.
- ``memory``: the gallery behind ``memory:``.
- ``sqlite``: the gallery behind ``sqlite:///``; ``sqlite_file`` has the layout of the file and opens it safely,
  ``sqlite_mirror`` keeps the searched copy equal to the file.
- ``residents``: templates in memory, searched by every back end; ``names``: which names are fit.
"""

from __future__ import annotations

from mien.galleries.memory import MemoryGallery
from mien.galleries.names import LONGEST_NAME, canonical_name
from mien.galleries.opening import open_gallery
from mien.galleries.protocol import Gallery
from mien.galleries.sqlite import SqliteGallery
from mien.galleries.urls import DEFAULT_NAME, GalleryUrl, parse_url

__all__ = [
    "DEFAULT_NAME",
    "LONGEST_NAME",
    "Gallery",
    "GalleryUrl",
    "MemoryGallery",
    "SqliteGallery",
    "canonical_name",
    "open_gallery",
    "parse_url",
]
