"""Comparing templates: scores of given pairs, and the exact search for the best of many.

- ``scores``: ``cosine_scores`` (all against all) and ``paired_scores`` (row by row, the reference arithmetic).
- ``shortlist``: the fast scan that finds which templates can be among the best.
- ``search``: ``SearchIndex``, vectors in memory with adding, removing and exact top-k over identities.
"""

from __future__ import annotations

from mien.matching.scores import cosine_scores, paired_scores
from mien.matching.search import SearchIndex, Snapshot, checked_threshold, checked_top

__all__ = ["SearchIndex", "Snapshot", "checked_threshold", "checked_top", "cosine_scores", "paired_scores"]
