"""The index of training images: who is on each image, and where in the shards its bytes are.

Images stay where they are; cleaning, relabelling and merging write a new index.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput, BadPack, OutputError
from mien.training.data.checking import check_index
from mien.training.data.schema import Facts, facts_of, with_schema
from mien.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["INDEX_FILE", "Index", "join_indexes", "read_index", "write_index"]

INDEX_FILE = "index.parquet"
"""What an index is called in a pack's folder."""

_ROWS_A_GROUP = 1 << 17


@dataclass(frozen=True, eq=False)
class Index:
    """An index, not to be changed.

    Attributes:
        path: the file, or where one is to be written: shards are relative to its folder; None for the current folder.
        table: see ``schema.index_schema``; columns that may be empty may be missing, and are added.
        aligned: the side in pixels of the aligned chips that all images are, or None.
        note: for people.
        sources: where the images came from.

    Raises:
        BadPack: a column is missing or of another type.
        MissingExtra: pyarrow is not there.
    """

    path: Path | None
    table: pa.Table
    aligned: int | None = None
    note: str = ""
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", with_schema(self.table, self.where))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getstate__(self) -> dict[str, Any]:
        # What is computed from the table is computed again, rather than sent to another process.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @property
    def where(self) -> str:
        """What messages call it."""
        return "index" if self.path is None else str(self.path)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """``(n,) int32`` number of the person on each image, -1 for none."""
        return self.numbers("label")

    @cached_property
    def classes(self) -> int:
        """How many people there are."""
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def identities(self) -> list[str]:
        """The people's names, by label; empty for a label that no image has, as after ``take``."""
        labels, first = np.unique(self.labels, return_index=True)
        found = self.table.column("identity").take(first[labels >= 0]).to_pylist()
        names = [""] * self.classes
        for label, name in zip(labels[labels >= 0].tolist(), found, strict=True):
            names[label] = name
        return names

    @cached_property
    def landmarks(self) -> FloatArray:
        """``(n, 5, 2) float32`` in pixels of the stored images; NaN where there are none."""
        points = np.full((len(self), 10), np.nan, np.float32)
        column = self.table.column("landmarks").combine_chunks()
        known = column.is_valid().to_numpy(zero_copy_only=False)
        points[known] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, 10)
        points.flags.writeable = False
        return points.reshape(-1, 5, 2)

    @cached_property
    def quality(self) -> FloatArray:
        """``(n,) float32`` mien's unified quality, 0..100; NaN where it was not measured."""
        return self.numbers("quality")

    @cached_property
    def digests(self) -> list[bytes]:
        """The 16 bytes that stand for each image's bytes."""
        digests: list[bytes] = self.table.column("digest").to_pylist()
        return digests

    @cached_property
    def shards(self) -> list[Path]:
        """The shards, as paths that can be opened; ``shard_numbers`` counts in this list."""
        # The folder need not be there yet, nor lead where its ".." does if it is a link: so it is resolved first.
        base = os.path.realpath(Path() if self.path is None else self.path.parent)
        names = self._shard_column.dictionary.to_pylist()
        return [Path(os.path.normpath(os.path.join(base, name))) for name in names]

    @cached_property
    def shard_numbers(self) -> NDArray[np.int32]:
        """``(n,) int32`` which of ``shards`` each image is in."""
        return np.asarray(self._shard_column.indices.to_numpy(zero_copy_only=False), np.int32)

    def numbers(self, column: str) -> NDArray[Any]:
        """A column of numbers as a read-only array; NaN where a value is missing.

        Raises:
            BadInput: there is no such column, or it holds no numbers.
        """
        import pyarrow as pa

        kind = self.table.schema.field(column).type if column in self.table.column_names else None
        if kind is None or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise BadInput(f"{self.where}: expected a column of numbers, got {column!r} of {kind}")
        values: NDArray[Any] = self.table.column(column).to_numpy().view()
        values.flags.writeable = False
        return values

    def texts(self, column: str) -> list[str]:
        """A column of texts: ``identity``, ``name``, ``license`` or ``shard``."""
        values: list[str] = self.table.column(column).to_pylist()
        return values

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Index:
        """Some rows, in the order given, by numbers or a mask; labels stay, so there may be gaps: see ``relabeled``."""
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        return replace(self, table=self.table.take(chosen.astype(np.int64)))

    def with_columns(self, **columns: Any) -> Index:
        """The same with other values in some columns.

        Args:
            **columns: a value for each row: arrays, lists or pyarrow's arrays; None for no value.

        Raises:
            BadInput: there is no such column, or a column is of another length.
            BadPack: the values are of another type than the column's.
        """
        import pyarrow as pa

        table = self.table
        for name, values in columns.items():
            if name not in table.column_names:
                raise BadInput(f"column: expected one of {', '.join(table.column_names)}, got {name!r}")
            field = table.schema.field(name)
            if name == "landmarks" and isinstance(values, np.ndarray):
                values = landmarks_column(values)
            try:
                made = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values)
                made = made if made.type == field.type else made.cast(field.type)
            except pa.ArrowException as error:
                raise BadPack(f"{self.where}: expected column {name!r} of {field.type}: {error}") from error
            if len(made) != len(self):
                raise BadInput(f"column {name!r}: expected {len(self)} values, got {len(made)}")
            table = table.set_column(table.schema.get_field_index(name), field, made)
        return replace(self, table=table)

    def relabeled(self) -> Index:
        """The same with labels 0, 1, 2… in the order of the people's names; images without a label stay so."""
        import pyarrow as pa
        import pyarrow.compute as pc

        labelled = self.labels >= 0
        names = self.table.column("identity")
        people = sorted(pc.unique(names.filter(pa.array(labelled))).to_pylist())
        found = pc.index_in(names, value_set=pa.array(people, pa.string())).to_numpy(zero_copy_only=False)
        return self.with_columns(label=np.where(labelled, np.nan_to_num(found, nan=-1), -1).astype(np.int32))

    @property
    def _shard_column(self) -> Any:
        column = self.table.column("shard")
        return column.chunk(0) if column.num_chunks else column.combine_chunks()


def landmarks_column(points: NDArray[Any]) -> pa.Array:
    """``(n, 5, 2)`` or ``(n, 10)`` numbers as a column; rows that hold a NaN become empty."""
    import pyarrow as pa

    flat = np.ascontiguousarray(points, np.float32).reshape(len(points), 10)
    missing = np.isnan(flat).any(axis=1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), 10, mask=pa.array(missing))


def read_index(path: Path | str) -> Index:
    """Read an index and check it.

    Args:
        path: a pack's folder, or the file.

    Raises:
        BadPack: there is none, it is damaged, a shard is missing, a row points past its shard, or labels have gaps;
            the message names row, shard, what was expected and what was found.
        MissingExtra: pyarrow is not there.
    """
    file = _file(Path(path))
    if not file.is_file():
        raise BadPack(f"{path}: expected a pack with {INDEX_FILE} or an index, found none")
    table, facts = _read(file)
    index = Index(file, table, facts.aligned, facts.note, facts.sources)
    check_index(index)
    return index


def write_index(index: Index, path: Path | str) -> None:
    """Write an index, all at once or not at all; shards stay where they are, and are found from the new place.

    Args:
        index: what to write; it is checked first.
        path: a folder, or the file if it ends in ``.parquet``.

    Raises:
        BadPack: a row points past its shard, or labels have gaps.
        OutputError: it cannot be written (disk full, no permission).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_index(index)
    file = _file(Path(path))
    moved = replace(index, path=file, table=_moved(index, file.parent))
    facts = Facts(index.aligned, index.note, index.sources)
    table = moved.table.replace_schema_metadata(facts.encoded())
    temporary = file.with_name(f".part-{os.getpid()}-{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS_A_GROUP)
            with temporary.open("r+b") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, pa.ArrowException) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise OutputError(f"{file}: cannot be written: {reason}") from error


def join_indexes(indexes: Sequence[Index], path: Path | str) -> Index:
    """The rows of several indexes one after another, with the labels they have; see ``Index.relabeled``.

    Args:
        indexes: at least one; aligned alike, or else the result counts as not aligned.
        path: where it will be written: a folder, or a file that ends in ``.parquet``.
    """
    import pyarrow as pa

    file = _file(Path(path))
    tables = [_moved(index, file.parent) for index in indexes]
    sides = {index.aligned for index in indexes}
    return Index(
        file,
        pa.concat_tables(tables),
        sides.pop() if len(sides) == 1 else None,
        "; ".join(dict.fromkeys(index.note for index in indexes if index.note)),
        tuple(dict.fromkeys(source for index in indexes for source in index.sources)),
    )


def _file(path: Path) -> Path:
    return path if path.suffix == ".parquet" and not path.is_dir() else path / INDEX_FILE


def _read(file: Path) -> tuple[pa.Table, Facts]:
    from mien.training.requirements import need_parquet

    need_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file, memory_map=False).read()
    except (OSError, pa.ArrowException) as error:
        raise BadPack(f"{file}: expected a Parquet file, got one that cannot be read: {error}") from error
    return table, facts_of(table.schema.metadata, str(file))


def _moved(index: Index, folder: Path) -> pa.Table:
    """The table with shards relative to another folder; those that no row is in are left out."""
    import pyarrow as pa

    used, numbers = np.unique(index.shard_numbers, return_inverse=True)
    base = os.path.realpath(folder)
    paths = [index.shards[k] for k in used.tolist()]
    names = [Path(os.path.relpath(path, base)).as_posix() for path in paths]
    column = pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(names, pa.string()))
    table = index.table
    return table.set_column(table.schema.get_field_index("shard"), table.schema.field("shard"), column)
