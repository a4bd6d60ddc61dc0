"""Galleries in Milvus: a cluster of any size, or milvus-lite in this process.

- ``gallery``: ``MilvusGallery``, the gallery behind ``milvus://``, and what it promises.
- ``searching``: exact answers from the engine's ranking of templates.
- ``enrolling``: templates on their way in, and the tags on them.
- ``compacting``: being rid of what was removed; ``examining``: what is held, and whether it is sound.
- ``listing``: which galleries there are.
- ``ledger``: whose turn it is to write, and which templates count.
- ``schema``: the collections, ids and conditions.
- ``connection``: the client; ``local``: milvus-lite for those who have a file and no server.
"""

from __future__ import annotations

from mien.galleries.milvus.gallery import MilvusGallery

__all__ = ["MilvusGallery"]
