"""From aligned chips to templates.

``Embedder`` is the interface, ``make_embedder`` builds one from a model card and a loaded network.
"""

from __future__ import annotations

from mien.embedding.embedder import Embedder, NetworkEmbedder, make_embedder

__all__ = ["Embedder", "NetworkEmbedder", "make_embedder"]
