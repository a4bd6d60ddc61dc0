"""What Milvus holds for mien: one collection of facts, and one of templates for each gallery."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from mien.errors import GalleryError
from mien.galleries.milvus.connection import Connection

__all__ = [
    "FACTS",
    "MOST_TAGS",
    "any_of",
    "collection_name",
    "first_id",
    "key_of",
    "make_templates",
    "open_facts",
    "search_parameters",
]

FACTS = "mien_galleries"
"""The collection with what is to be known of every gallery of a database."""

MOST_TAGS = 1024
"""The most tags of an identity."""

# The most bytes of a text that Milvus keeps.
_LONGEST_TEXT = 65_535

_KEY_LENGTH = 32
# A name has at most 1000 characters, and UTF-8 at most 4 bytes for each; Milvus counts bytes.
_LONGEST_NAME = 4000
_FACTS_FIELDS: list[dict[str, Any]] = [
    {"field_name": "key", "datatype": "VARCHAR", "max_length": 2 * _KEY_LENGTH + 1, "is_primary": True},
    {"field_name": "gallery", "datatype": "VARCHAR", "max_length": _KEY_LENGTH},
    {"field_name": "kind", "datatype": "VARCHAR", "max_length": 16},
    {"field_name": "serial", "datatype": "INT64"},
    {"field_name": "text", "datatype": "VARCHAR", "max_length": _LONGEST_TEXT},
    # Milvus has no collection without vectors.
    {"field_name": "nothing", "datatype": "FLOAT_VECTOR", "dim": 2},
]
_FACTS_INDEXES = [{"field_name": "nothing", "index_type": "FLAT", "metric_type": "IP"}]
_EPOCH_S = 1_735_689_600
_SECOND_BITS = 22

_BUILDING: dict[str, dict[str, int]] = {
    "FLAT": {},
    "HNSW": {"M": 16, "efConstruction": 200},
    "IVF_SQ8": {"nlist": 1024},
}


def key_of(text: str) -> str:
    """32 hex digits that stand for a name or tag in conditions, where the text itself might mean something else."""
    return hashlib.blake2b(text.encode(), digest_size=_KEY_LENGTH // 2).hexdigest()


def any_of(field: str, keys: Iterable[str]) -> str:
    """The condition that a field is one of ``keys``, or that an array field has one of them."""
    quoted = ", ".join(f'"{key}"' for key in keys)
    return f"array_contains_any(tags, [{quoted}])" if field == "tags" else f"{field} in [{quoted}]"


def collection_name(gallery: str, generation: int) -> str:
    """The collection of a gallery's templates; compaction in place makes the next generation."""
    return f"mien_{key_of(gallery)}_{generation}"


def first_id(last: int) -> int:
    """The id of the next template, above ``last``, rising with time.

    The seconds since 2025 (UTC) stand above 22 bits, of which the 21 lower are drawn at random: should two writers
    ever come to write at once, their ids differ all the same. Ids stay below 2^53, so JSON keeps them whole, until
    the year 2093.
    """
    second = max(0, int(time.time()) - _EPOCH_S)
    return max((second << _SECOND_BITS) | secrets.randbits(_SECOND_BITS - 1), last + 1)


def open_facts(connection: Connection, create: bool) -> bool:
    """Have the collection of facts ready, made where there is none (with ``create``); whether it is there."""
    if not connection.exists(FACTS):
        if not create:
            return False
        try:
            connection.make(FACTS, _typed(_FACTS_FIELDS), _FACTS_INDEXES)
        except GalleryError:
            # Another process may be making it at this moment.
            if not connection.exists(FACTS):
                raise
    try:
        connection.load(FACTS)
    except GalleryError:
        # Its maker has not come to the index yet, or never will; the same index twice is one.
        connection.index(FACTS, _FACTS_INDEXES)
        connection.load(FACTS)
    return True


def make_templates(connection: Connection, collection: str, dimension: int, index: str) -> None:
    """Make a gallery's collection of templates, with an index by URL option."""
    fields: list[dict[str, Any]] = [
        {"field_name": "id", "datatype": "INT64", "is_primary": True},
        {"field_name": "vector", "datatype": "FLOAT_VECTOR", "dim": dimension},
        {"field_name": "person", "datatype": "VARCHAR", "max_length": _KEY_LENGTH},
        {"field_name": "name", "datatype": "VARCHAR", "max_length": _LONGEST_NAME},
        {"field_name": "tags", **_array(_KEY_LENGTH)},
        {"field_name": "words", **_array(_LONGEST_NAME)},
        {"field_name": "created", "datatype": "INT64"},
    ]
    indexes: list[dict[str, Any]] = [
        {"field_name": "vector", "index_type": index, "metric_type": "IP", "params": _BUILDING[index]},
        {"field_name": "person", "index_type": "INVERTED"},
    ]
    connection.make(collection, _typed(fields), indexes)


def search_parameters(index: str, limit: int) -> dict[str, int]:
    """How hard an approximate index looks for ``limit`` rows; an exact one needs no telling."""
    return {"FLAT": {}, "HNSW": {"ef": max(64, 2 * limit)}, "IVF_SQ8": {"nprobe": 64}}[index]


def _array(longest: int) -> dict[str, Any]:
    return {"datatype": "ARRAY", "element_type": "VARCHAR", "max_capacity": MOST_TAGS, "max_length": longest}


def _typed(fields: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from pymilvus import DataType

    types = ("datatype", "element_type")
    return [{k: getattr(DataType, v) if k in types else v for k, v in field.items()} for field in fields]
