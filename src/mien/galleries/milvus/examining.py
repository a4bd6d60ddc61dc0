"""What a Milvus gallery holds about one identity, and whether all that it holds is sound."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np

from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.enrolling import ROW
from mien.galleries.milvus.ledger import State
from mien.galleries.milvus.schema import collection_name, key_of
from mien.galleries.progress import Steps

__all__ = ["exported", "faults"]

_NORM_TOLERANCE = 1e-3


def exported(state: State, rows: list[Row]) -> dict[str, Any]:
    """All that is held about one identity, as values for JSON; times are ISO 8601 in UTC.

    Args:
        state: the gallery's.
        rows: the identity's, by rising id, with all their fields; at least one.
    """
    return {
        "identity": rows[-1]["name"],
        "tags": sorted(rows[-1]["words"]),
        "space": state.space,
        "dimension": state.dimension,
        "templates": [
            {
                "template_id": int(row["id"]),
                "enrolled": datetime.fromtimestamp(row["created"] / 1000, timezone.utc).isoformat(),
                "vector": np.array(row["vector"], np.float32).tolist(),
            }
            for row in rows
        ],
    }


def faults(connection: Connection, state: State, counted: str, steps: Steps) -> Iterator[str]:
    """What is wrong with the templates that count, a sentence each."""
    words: dict[str, list[str]] = {}
    former = 0
    for page in connection.pages(collection_name(state.name, state.generation), counted, ROW):
        for row in page:
            what = f"{connection.place}: template {row['id']} of gallery {state.name!r}"
            if row["id"] == former:
                yield f"{what} is there more than once"
            former = row["id"]
            norm = float(np.linalg.norm(np.array(row["vector"], np.float64)))
            if not abs(norm - 1) <= _NORM_TOLERANCE:
                yield f"{what} is no vector of unit norm, but of {norm:.4g}"
            if row["person"] != key_of(row["name"]):
                yield f"{what} is kept under another key than its identity {row['name']!r} has"
            if list(row["tags"]) != [key_of(word) for word in row["words"]]:
                yield f"{what} is kept under other tags than it has"
            if words.setdefault(row["person"], list(row["words"])) != list(row["words"]):
                yield f"{what} has other tags than an older one of {row['name']!r}"
        steps.advance(len(page))
