"""Galleries: templates enrolled under identities, kept, removed and searched.

- ``opening``: ``open_gallery(url)``, the way in; ``urls`` says what a URL may hold, ``options`` what is kept with it.
- ``protocol``: ``Gallery``, what every back end can do; one contract test suite runs against all of them.
- ``memory``: the gallery behind ``memory:``; ``residents`` holds its templates.
- ``sql``: one gallery for all SQL engines, with SQLite and PostgreSQL behind it; ``milvus``: the distributed engine.
- ``acting``: who is at work, for the audit log; ``paging``: part of the identities.
- ``batch`` and ``names``: what is fit to be enrolled; ``vault``: encryption; ``keeper``: erasing on time.
- ``group``: several galleries searched at once; ``exchange``: files of templates, in and out; ``progress``: how far
  what takes long is.
"""

from __future__ import annotations

from mien.galleries.acting import acting_as
from mien.galleries.exchange import Imported, export_templates, import_templates
from mien.galleries.exchange_rows import Block, Migratable, Portable
from mien.galleries.group import GalleryGroup, Searchable
from mien.galleries.memory import MemoryGallery
from mien.galleries.names import LONGEST_NAME, canonical_name
from mien.galleries.opening import galleries_at, open_gallery, remove_gallery, require_free
from mien.galleries.progress import Progress
from mien.galleries.protocol import Gallery, GalleryOptions, NewEnrollment, Portraits
from mien.galleries.sql.audit import AuditEntry
from mien.galleries.sql.gallery import SqlGallery
from mien.galleries.sql.listing import GallerySummary
from mien.galleries.urls import DEFAULT_NAME, GalleryUrl, parse_url

__all__ = [
    "DEFAULT_NAME",
    "LONGEST_NAME",
    "AuditEntry",
    "Block",
    "Gallery",
    "GalleryGroup",
    "GalleryOptions",
    "GallerySummary",
    "GalleryUrl",
    "Imported",
    "MemoryGallery",
    "Migratable",
    "NewEnrollment",
    "Portable",
    "Portraits",
    "Progress",
    "Searchable",
    "SqlGallery",
    "acting_as",
    "canonical_name",
    "export_templates",
    "galleries_at",
    "import_templates",
    "open_gallery",
    "parse_url",
    "remove_gallery",
    "require_free",
]
