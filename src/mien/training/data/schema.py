"""The columns of an index, and the facts that its file states about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.errors import BadPack
from mien.training.requirements import need_parquet

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DIGEST_BYTES", "FORMAT", "Facts", "facts_of", "index_schema", "with_schema"]

FORMAT = 1
"""The version of the layout."""

DIGEST_BYTES = 16
"""Length of an image's digest, BLAKE2b of its encoded bytes."""

_FACTS = b"mien"


@dataclass(frozen=True, slots=True)
class Facts:
    """What an index's file says of all its images.

    Attributes:
        aligned: the side in pixels of the aligned chips that they all are, or None.
        note: for people.
        sources: where they came from.
    """

    aligned: int | None = None
    note: str = ""
    sources: tuple[str, ...] = ()

    def encoded(self) -> dict[bytes, bytes]:
        """The metadata of a Parquet file."""
        told = {"format": FORMAT, "aligned": self.aligned, "note": self.note, "sources": list(self.sources)}
        return {_FACTS: json.dumps(told).encode()}


def facts_of(metadata: Mapping[bytes, bytes] | None, where: str) -> Facts:
    """The facts in a Parquet file's metadata.

    Raises:
        BadPack: there are none, or of a newer layout, or malformed.
    """
    raw = None if metadata is None else metadata.get(_FACTS)
    if raw is None:
        raise BadPack(f"{where}: expected an index of training images, got a Parquet file that does not say it is one")
    try:
        told = json.loads(raw)
        version, aligned, note, sources = told["format"], told["aligned"], told["note"], told["sources"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadPack(f"{where}: expected facts about an index in the metadata, got {raw[:80]!r}") from error
    if version != FORMAT:
        raise BadPack(f"{where}: expected an index of format {FORMAT}, got {version!r}")
    if aligned is not None and (not isinstance(aligned, int) or isinstance(aligned, bool) or aligned < 1):
        raise BadPack(f"{where}: expected a number of pixels or null as 'aligned', got {aligned!r}")
    if not isinstance(note, str) or not isinstance(sources, list) or not all(isinstance(s, str) for s in sources):
        raise BadPack(f"{where}: expected texts as 'note' and 'sources', got {note!r:.80} and {sources!r:.80}")
    return Facts(aligned, note, tuple(sources))


def index_schema() -> pa.Schema:
    """The columns of an index.

    - ``shard``: the tar file, relative to the index's folder; ``offset``, ``length``: its image's bytes in there.
    - ``label``: number of the person, -1 for none; ``identity``: the person's name.
    - ``name``: where the image came from; ``license``: under which terms, as free text.
    - ``width``, ``height``: of the image that is stored, in pixels, upright.
    - ``landmarks``: five points x0, y0, … x4, y4 in pixels of that image, as in ``mien.Faces``.
    - ``quality``: mien's unified quality, 0..100; ``score``: the detector's, 0..1.
    - ``digest``: BLAKE2b-128 of the image's bytes.

    Raises:
        MissingExtra: pyarrow is not there.
    """
    need_parquet()
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("length", pa.int32(), nullable=False),
            pa.field("label", pa.int32(), nullable=False),
            pa.field("identity", pa.string(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("landmarks", pa.list_(pa.float32(), 10)),
            pa.field("quality", pa.float32()),
            pa.field("score", pa.float32()),
            pa.field("license", pa.string(), nullable=False),
            pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False),
        ]
    )


def with_schema(table: pa.Table, where: str) -> pa.Table:
    """A table with exactly the columns of an index; those that may be empty are added where they are missing.

    Raises:
        BadPack: a column is missing, of another type, or empty in a row where it must not be.
        MissingExtra: pyarrow is not there.
    """
    schema = index_schema()
    import pyarrow as pa

    columns: list[Any] = []
    for field in schema:
        if field.name not in table.column_names:
            if not field.nullable:
                raise BadPack(f"{where}: expected a column {field.name!r} of {field.type}, found none")
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise BadPack(
                    f"{where}: expected column {field.name!r} of {field.type}, got {column.type}: {error}"
                ) from error
        if column.null_count and not field.nullable:
            row = column.is_null().index(True).as_py()
            raise BadPack(f"{where}: row {row}: expected a value in column {field.name!r}, found none")
        columns.append(column)
    made = pa.Table.from_arrays(columns, schema=schema)
    return made.unify_dictionaries().combine_chunks()
