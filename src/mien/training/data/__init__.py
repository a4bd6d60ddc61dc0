"""Training images: stored once in tar shards, described by a Parquet index that is cheap to rewrite.

Where to look: ``schema`` says what an index holds, ``index`` reads and writes one, ``checking`` what must hold for it,
``shards`` are the files of images. ``folders``, ``tables`` and ``recordio`` list images (``listing``), ``preparing``
makes of each what is stored, in parallel by ``working``, with faces cut by ``aligning``; ``packing`` stores them, and
goes on by its ``journal`` where it was cut off. ``unpacking`` and ``align_folders`` write files, named by ``naming``;
``statistics`` counts. ``describing``, ``merging`` and ``cleaning`` rewrite the index; ``loader`` feeds training.

Nothing here but ``loader`` needs PyTorch; the index needs pyarrow (extra ``train`` or ``parquet``).
"""

from __future__ import annotations

from mien.training.data.index import INDEX_FILE, Index, join_indexes, read_index, write_index
from mien.training.data.shards import ShardReader, ShardWriter, Stored, digest_of

__all__ = [
    "INDEX_FILE",
    "Index",
    "ShardReader",
    "ShardWriter",
    "Stored",
    "digest_of",
    "join_indexes",
    "read_index",
    "write_index",
]
