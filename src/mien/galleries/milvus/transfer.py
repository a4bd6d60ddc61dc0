"""What a Milvus gallery gives out in bulk: all templates, in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.galleries.exchange_rows import Block
from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.enrolling import ROW

__all__ = ["blocks"]

# The answer to one request must fit into a message.
_MOST_ROWS = 2000


def blocks(connection: Connection, collection: str, where: str, rows: int) -> Iterator[Block]:
    """See ``Portable.blocks``; what is removed while they are given out may be among them or not.

    Args:
        connection: where.
        collection: that holds the templates.
        where: the condition for templates that count.
        rows: the most templates of a block.
    """
    for page in connection.pages(collection, where, ROW, rows=min(rows, _MOST_ROWS)):
        yield _block(sorted(page, key=lambda row: int(row["id"])))


def _block(page: list[Row]) -> Block:
    return Block(
        np.array([row["id"] for row in page], np.int64),
        [str(row["name"]) for row in page],
        [tuple(sorted(row["words"])) for row in page],
        np.array([row["vector"] for row in page], np.float32),
        np.array([row["created"] for row in page], np.float64) / 1000,
        np.zeros(len(page), np.bool_),
    )
