"""One gallery for all SQL engines.

- ``gallery``: ``SqlGallery``; what it does is in ``shelf`` (finding and making it), ``enrolling``, ``removing``,
  ``reading``, ``audit``, ``migrating``, ``transfer``, ``checking`` and ``listing``, all statements written once.
- ``database``: what an engine must offer; ``sqlite`` and ``postgres`` offer it. ``schema``: the tables.
- ``engine``: what searches: ``mirror``, a copy in memory, or ``pgvector``, the server.
- ``sealer``: how columns are encoded and encrypted.
"""

from __future__ import annotations

from mien.galleries.sql.database import Database, Session
from mien.galleries.sql.engine import Engine
from mien.galleries.sql.gallery import SqlGallery
from mien.galleries.sql.mirror import Mirror

__all__ = ["Database", "Engine", "Mirror", "Session", "SqlGallery"]
