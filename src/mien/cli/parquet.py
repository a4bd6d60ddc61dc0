"""The Parquet file that ``mien embed`` writes, and the parts that it is made of.

While a run lasts, what it has done lies in a folder beside the output, ``templates.parquet.parts``, a Parquet file
every few seconds. Each one, and the output too, says in its metadata which images it holds (path, size, time of the
last change, number of faces) and what its templates depend on. So a run that was interrupted, or a later one with
more images, continues from any of them. At the end they are merged into the output, which appears all at once.
"""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.cli.entries import Entry
from mien.cli.records import Record
from mien.cli.whole_files import replacing
from mien.errors import MissingExtra, OutputError, SpaceMismatch

if TYPE_CHECKING:
    from mien.types import Faces, Templates

__all__ = ["TemplatesFile", "require_pyarrow"]

_FACTS, _IMAGES = b"mien", b"mien.images"
_LAYOUT = 1
_ROWS_A_GROUP = 16_384
_WHOLE_ROWS = ("image", "space")


def require_pyarrow() -> tuple[Any, ModuleType]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        MissingExtra: they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("writing Parquet needs pyarrow: pip install 'mien[parquet]'") from error
    return pyarrow, pyarrow.parquet


class TemplatesFile:
    """Templates of many images on their way into one Parquet file.

    Columns: ``image`` (path as it was given), ``face`` (number in the image), ``xyxy`` and ``landmarks`` (pixels),
    ``score``, ``vector`` (fixed-size list of float32), ``space``.

    Args:
        path: the output.
        facts: what the templates depend on, with ``space``; the same in all runs that write to one output.
        dimension: length of a template.

    Raises:
        MissingExtra: pyarrow is not installed.
        SpaceMismatch: the output holds templates of another space.
        OutputError: the output is another program's, was made with other settings, or cannot be read.
    """

    def __init__(self, path: Path, facts: Record, dimension: int) -> None:
        self._pa, self._pq = require_pyarrow()
        self._path, self._facts = path, {**facts, "layout": _LAYOUT}
        self.parts = path.with_name(path.name + ".parts")
        pa = self._pa
        self._schema = pa.schema(
            [
                pa.field("image", pa.string(), nullable=False),
                pa.field("face", pa.int32(), nullable=False),
                pa.field("xyxy", pa.list_(pa.float32(), 4), nullable=False),
                pa.field("score", pa.float32(), nullable=False),
                pa.field("landmarks", pa.list_(pa.list_(pa.float32(), 2), 5), nullable=False),
                pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
                pa.field("space", pa.string(), nullable=False),
            ]
        )
        self._waiting: list[tuple[Entry, str, Faces, Templates]] = []
        self._done: dict[str, Entry] = {}
        for source in self._sources():
            for entry in self._entries(source):
                self._done[entry.path] = entry

    @property
    def waiting(self) -> int:
        """How many images were added and are not on the disk yet."""
        return len(self._waiting)

    def holds(self, entry: Entry) -> bool:
        """Whether this image, unchanged, is on the disk already."""
        return entry.is_same(self._done.get(entry.path))

    def add(self, entry: Entry, image: str, faces: Faces, templates: Templates) -> None:
        """Take in an image's faces, to be written by the next ``flush``."""
        kept = Entry(entry.path, entry.size_bytes, entry.changed_ns, len(faces))
        self._waiting.append((kept, image, faces, templates))

    def flush(self) -> None:
        """Write what was added to a new part.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        if not self._waiting:
            return
        numbers = [int(p.stem) for p in self.parts.glob("*.parquet") if p.stem.isdecimal()]
        part = self.parts / f"{max(numbers, default=0) + 1:08d}.parquet"
        entries = [entry for entry, *_ in self._waiting]
        with self._writing(part, entries) as writer:
            writer.write_table(self._table())
        self._done.update((entry.path, entry) for entry in entries)
        self._waiting = []

    def finish(self) -> tuple[int, int]:
        """Merge everything into the output, and remove the parts; the number of its images and of its faces.

        Images that have changed since they were embedded, or are gone, are left out.

        Raises:
            OutputError: the output cannot be written.
        """
        self.flush()
        sources, kept, seen = self._sources(), [], set()
        masks: list[list[bool]] = []
        for source in sources:
            mask = []
            for entry in self._entries(source):
                good = entry.path not in seen and entry.is_same(Entry.of(entry.path))
                mask.append(good)
                if good:
                    seen.add(entry.path)
                    kept.append(entry)
            masks.append(mask)
        if sources != [self._path] or not all(masks[0]):
            with self._writing(self._path, kept) as writer:
                for batch in self._grouped(zip(sources, masks, strict=True)):
                    writer.write_table(batch)
        shutil.rmtree(self.parts, ignore_errors=True)
        return len(kept), sum(entry.faces for entry in kept)

    def _sources(self) -> list[Path]:
        """The output, if it is there, and the parts in the order in which they were written."""
        return [*([self._path] if self._path.exists() else []), *sorted(self.parts.glob("[0-9]*.parquet"))]

    def _entries(self, source: Path) -> list[Entry]:
        """The images that a file holds, in the order of its rows."""
        try:
            metadata = self._pq.read_metadata(source).metadata or {}
        except (OSError, self._pa.ArrowException) as error:
            raise OutputError(f"{source}: expected a Parquet file: {_reason(error)}") from error
        if _FACTS not in metadata or _IMAGES not in metadata:
            raise OutputError(f"{source}: expected a file of mien embed, found another one; choose another name")
        there = json.loads(metadata[_FACTS])
        if there.get("space") != self._facts["space"]:
            raise SpaceMismatch(
                f"{source}: holds templates of {there.get('space')}, and these settings make {self._facts['space']}"
            )
        other = [f"{k} {there.get(k)} there, {v} here" for k, v in self._facts.items() if there.get(k) != v]
        if other:
            raise OutputError(
                f"{source}: was made with other settings: {', '.join(other)}; use those, or choose another name"
            )
        rows = json.loads(zlib.decompress(base64.b64decode(metadata[_IMAGES])))
        return [Entry(*row) for row in rows]

    @contextmanager
    def _writing(self, path: Path, entries: list[Entry]) -> Iterator[Any]:
        listed = json.dumps([[e.path, e.size_bytes, e.changed_ns, e.faces] for e in entries])
        metadata = {
            _FACTS: json.dumps(self._facts).encode(),
            # Compressed, as every reader of the file has to read it; in base64, as some take metadata for text.
            _IMAGES: base64.b64encode(zlib.compress(listed.encode())),
        }
        schema = self._schema.with_metadata(metadata)
        with (
            replacing(path) as temporary,
            self._pq.ParquetWriter(temporary, schema, use_dictionary=list(_WHOLE_ROWS)) as writer,
        ):
            yield writer

    def _table(self) -> Any:
        """The waiting images' rows."""
        pa, space = self._pa, str(self._facts["space"])
        counts = [len(faces) for _, _, faces, _ in self._waiting]
        images = [name.encode("utf-8", "backslashreplace").decode() for _, name, _, _ in self._waiting]

        def lists(arrays: list[Any], *sizes: int) -> Any:
            column = pa.array(np.concatenate([a.reshape(-1) for a in arrays]), pa.float32())
            for size in sizes:
                column = pa.FixedSizeListArray.from_arrays(column, size)
            return column

        faces = [f for _, _, f, _ in self._waiting]
        columns = [
            pa.array([name for name, count in zip(images, counts, strict=True) for _ in range(count)], pa.string()),
            pa.array([number for count in counts for number in range(count)], pa.int32()),
            lists([f.xyxy for f in faces], 4),
            lists([f.scores for f in faces]),
            lists([f.landmarks for f in faces], 2, 5),
            lists([t.vectors for _, _, _, t in self._waiting], self._schema.field("vector").type.list_size),
            pa.array([space] * sum(counts), pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _grouped(self, sources: Iterator[tuple[Path, list[bool]]] | Any) -> Iterator[Any]:
        """The rows of the images that are kept, in tables fit for a row group, in constant memory."""
        batches: list[Any] = []
        rows = 0
        for source, mask in sources:
            entries = self._entries(source)
            chosen = np.repeat(np.array(mask, bool), [entry.faces for entry in entries])
            start = 0
            with self._pq.ParquetFile(source) as file:
                for batch in file.iter_batches(batch_size=_ROWS_A_GROUP):
                    wanted = chosen[start : start + len(batch)]
                    start += len(batch)
                    batches.append(batch if wanted.all() else batch.filter(self._pa.array(wanted)))
                    rows += len(batches[-1])
                    if rows >= _ROWS_A_GROUP:
                        yield self._pa.Table.from_batches(batches).cast(self._schema)
                        batches, rows = [], 0
        if rows:
            yield self._pa.Table.from_batches(batches).cast(self._schema)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
