"""From aligned chips to templates.

``Embedder`` is the interface, ``make_embedder`` builds one from a model card and a loaded network, ``FusedEmbedder``
one out of several.
"""

from __future__ import annotations

from mien.embedding.embedder import Embedder, NetworkEmbedder, make_embedder
from mien.embedding.fused import FusedEmbedder

__all__ = ["Embedder", "FusedEmbedder", "NetworkEmbedder", "make_embedder"]
