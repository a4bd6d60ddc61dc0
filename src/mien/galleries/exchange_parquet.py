"""Templates of a gallery as a Parquet file: a row for each, readable by every data tool.

Columns: ``template_id``, ``identity``, ``tags``, ``created`` (UTC), ``mapped``, ``space``, ``vector`` (a fixed-size
list of float32) and, if they were asked for, ``portrait`` (a JPEG file) and ``landmarks`` (in its pixels). The file's
metadata has the space and the codec too. To be read, a file needs ``identity``, ``vector`` and a space; what else it
lacks is filled in.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from mien.errors import BadInput, MissingExtra
from mien.galleries.exchange_columns import matrix, points, require_kinds, seconds
from mien.galleries.exchange_rows import Block, FileFacts
from mien.galleries.private_files import replacing_private

__all__ = ["ParquetTemplates", "write_parquet"]

_FACTS = b"mien.gallery"
_LAYOUT = 1
_MICROSECONDS = 1e6
_COLUMNS = ("template_id", "identity", "tags", "created", "mapped", "space", "vector", "portrait", "landmarks")


def _pyarrow() -> tuple[Any, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Parquet files need pyarrow: pip install 'mien[parquet]'") from error
    return pyarrow, pyarrow.parquet


def write_parquet(path: str, facts: FileFacts, blocks: Iterator[Block], *, portraits: bool) -> Iterator[int]:
    """Write blocks to a file as they come; yields the length of each once it is written.

    Raises:
        MissingExtra: pyarrow is not installed.
        OutputError: the file cannot be written.
    """
    pa, pq = _pyarrow()
    fields = [
        pa.field("template_id", pa.int64(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("created", pa.timestamp("us", tz="UTC")),
        pa.field("mapped", pa.bool_(), nullable=False),
        pa.field("space", pa.string(), nullable=False),
        pa.field("vector", pa.list_(pa.float32(), facts.dimension), nullable=False),
    ]
    if portraits:
        fields += [pa.field("portrait", pa.binary()), pa.field("landmarks", pa.list_(pa.float32(), 10))]
    metadata = {_FACTS: json.dumps({"layout": _LAYOUT, "space": facts.space, "codec": facts.codec}).encode()}
    schema = pa.schema(fields, metadata=metadata)
    with (
        replacing_private(path) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=["identity", "space"]) as writer,
    ):
        for block in blocks:
            writer.write_table(_table(pa, schema, facts, block))
            yield len(block)


def _table(pa: Any, schema: Any, facts: FileFacts, block: Block) -> Any:
    known = np.isfinite(block.created)
    times = np.round(np.where(known, block.created, 0) * _MICROSECONDS).astype(np.int64)
    columns = [
        pa.array(block.template_ids, pa.int64()),
        pa.array(block.identities, pa.string()),
        pa.array(block.tags, pa.list_(pa.string())),
        pa.array(times, pa.timestamp("us", tz="UTC"), mask=~known),
        pa.array(block.mapped, pa.bool_()),
        pa.array([facts.space] * len(block), pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(block.vectors.reshape(-1), pa.float32()), facts.dimension),
    ]
    if block.pictures is not None and block.landmarks is not None:
        points = pa.array(block.landmarks.reshape(-1), pa.float32())
        columns += [pa.array(block.pictures, pa.binary()), pa.FixedSizeListArray.from_arrays(points, 10)]
    return pa.Table.from_arrays(columns, schema=schema)


class ParquetTemplates:
    """Templates in a Parquet file, read block by block.

    Args:
        path: the file.

    Attributes:
        path: as it was given.
        facts: what the file says of its templates.

    Raises:
        MissingExtra: pyarrow is not installed.
        BadInput: there is no such file, or it holds no templates of identities.
    """

    def __init__(self, path: str) -> None:
        self._pa, self._pq = _pyarrow()
        self.path = path
        with self._opened() as file:
            schema = file.schema_arrow
            self._columns = [name for name in _COLUMNS if name in schema.names]
            missing = {"identity", "vector"} - set(self._columns)
            if missing:
                raise BadInput(
                    f"{path}: expected columns identity and vector, found no {' and no '.join(sorted(missing))}"
                )
            require_kinds(self._pa, path, {name: schema.field(name).type for name in self._columns})
            if "portrait" in self._columns and "landmarks" not in self._columns:
                raise BadInput(f"{path}: expected a column landmarks beside column portrait, found none")
            first = next(file.iter_batches(batch_size=1, columns=self._columns), None)
            self.facts = self._facts(first, file.metadata.num_rows, self._told(schema.metadata))

    def _facts(self, first: Any, rows: int, told: dict[str, Any]) -> FileFacts:
        space, dimension = told.get("space"), 1
        if first is not None and len(first):
            dimension = matrix(first.column(self._columns.index("vector")), self.path, 1, None).shape[1]
            if space is None and "space" in self._columns:
                space = first.column(self._columns.index("space"))[0].as_py()
        if not isinstance(space, str) or not space:
            if not rows:
                raise BadInput(f"{self.path}: holds no templates: a file without rows")
            where = "in its first row" if "space" in self._columns else "there is no such column"
            raise BadInput(f"{self.path}: expected a column space that says what made the vectors: {where}")
        portraits = {"portrait", "landmarks"} <= set(self._columns)
        return FileFacts(space, dimension, told.get("codec", "float32"), rows, portraits)

    def _told(self, metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
        try:
            told = json.loads((metadata if metadata is not None else {}).get(_FACTS, b"{}"))
        except ValueError as error:
            raise BadInput(f"{self.path}: the file's metadata is damaged") from error
        if not isinstance(told, dict) or told.get("layout", _LAYOUT) != _LAYOUT:
            raise BadInput(f"{self.path}: expected layout {_LAYOUT}; a newer version of mien made this file")
        return told

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        if not os.path.isfile(self.path):
            reason = "is no file" if os.path.exists(self.path) else os.strerror(errno.ENOENT)
            raise BadInput(f"{self.path}: cannot be read: {reason}")
        try:
            # Read ahead, all of the file would soon be in memory.
            with self._pq.ParquetFile(self.path, pre_buffer=False) as file:
                yield file
        except BadInput:
            raise
        except (OSError, self._pa.ArrowException, ValueError, TypeError) as error:
            reason = "expected a Parquet file, got another one or a damaged one"
            if isinstance(error, PermissionError):
                reason = f"cannot be read: {os.strerror(errno.EACCES)}"
            raise BadInput(f"{self.path}: {reason}") from error

    def blocks(self, rows: int) -> Iterator[Block]:
        """The templates in the file's order, at most ``rows`` at a time.

        Raises:
            BadInput: the file is damaged, or a row is of another space than the first.
        """
        with self._opened() as file:
            start = 1
            for batch in file.iter_batches(batch_size=rows, columns=self._columns, use_threads=False):
                yield self._block(dict(zip(self._columns, batch.columns, strict=True)), start)
                start += len(batch)

    def _block(self, columns: dict[str, Any], start: int) -> Block:
        identities = columns["identity"].to_pylist()
        count = len(identities)
        for row, name in enumerate(identities, start):
            if name is None:
                raise BadInput(f"{self.path}: row {row}: expected a name in column identity, found none")
        if "space" in columns:
            for row, space in enumerate(columns["space"].to_pylist(), start):
                if space != self.facts.space:
                    raise BadInput(
                        f"{self.path}: row {row}: expected templates of {self.facts.space} alone, got {space!r}"
                    )
        # A gallery gives new ids out; these are for people to find a template by.
        ids = [None] * count if "template_id" not in columns else columns["template_id"].to_pylist()
        mapped = columns.get("mapped")
        tags = [None] * count if "tags" not in columns else columns["tags"].to_pylist()
        return Block(
            np.asarray([row if id_ is None else id_ for row, id_ in enumerate(ids, start)], np.int64),
            identities,
            [() if given is None else tuple(given) for given in tags],
            matrix(columns["vector"], self.path, start, self.facts.dimension),
            seconds(self._pa, columns.get("created"), count, self.path, start),
            np.zeros(count, np.bool_) if mapped is None else np.asarray(mapped.to_pylist(), np.bool_),
            columns["portrait"].to_pylist() if self.facts.portraits else None,
            points(columns["landmarks"], self.path, start) if self.facts.portraits else None,
        )
