"""Comparing templates: scores of given pairs, and the exact search for the best of many.

- ``codecs``: how templates are stored, as float32 or as int8.
- ``scores``: ``cosine_scores`` (all against all) and ``paired_scores`` (row by row, the reference arithmetic).
- ``index``: ``SearchIndex``, vectors in memory with adding, removing and exact top-k over identities; made of
  ``segments``, ``means`` (an identity's templates as one) and ``index_file`` (an index on the disk).
- ``search``: ``Snapshot``, an index at one moment, which is what is searched.
- ``native``: the scan in C (``kernels/``); ``ranking`` and ``shortlist``: the same in NumPy.
- ``mapping``: from one embedding space to another.
- ``classifier``: who of a closed set of people a face shows, or that it is a stranger.
- ``array_files``: arrays and facts in one file, for both.
- ``calibration``: what a score means, as a probability and as a threshold; ``calibration_fit`` finds it out, from
  ``calibration_pairs``, with ``calibration_thresholds``.
"""

from __future__ import annotations

from mien.matching.codecs import CODECS, FUSIONS, Codec, Fusion, decode, dequantize, encode, quantize, stored_width
from mien.matching.index import SearchIndex
from mien.matching.index_file import erase_rows
from mien.matching.native import kernel_names
from mien.matching.scores import cosine_scores, paired_scores
from mien.matching.search import Names, Snapshot, checked_threshold, checked_top

__all__ = [
    "CODECS",
    "FUSIONS",
    "Codec",
    "Fusion",
    "Names",
    "SearchIndex",
    "Snapshot",
    "checked_threshold",
    "checked_top",
    "cosine_scores",
    "decode",
    "dequantize",
    "encode",
    "erase_rows",
    "kernel_names",
    "paired_scores",
    "quantize",
    "stored_width",
]
