"""The journal of a pack in the making: what is done for good, so that a run that was cut off goes on from there.

It is a folder beside the shards. Each entry holds the rows of the images that were stored since the entry before, and
where the next image comes from and goes to. An entry appears whole or not at all, and only once the images it tells of
are on the disk; what a shard holds beyond the last entry is cut off when the run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mien.errors import BadPack, OutputError
from mien.training.data.claims import FACTS, claimed, compared, synced
from mien.training.data.preparing import Refused
from mien.training.data.schema import index_schema
from mien.training.data.shards import shard_name, sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Journal", "Place", "in_the_making"]

_FOLDER = ".packing"
_LOCK = "lock"
_META = b"mien.packing"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come.

    Attributes:
        next: number of the next image in the listing.
        shard: number of the shard in work.
        length: bytes in it.
        image: how many images are stored.
    """

    next: int = 0
    shard: int = 0
    length: int = 0
    image: int = 0


def in_the_making(folder: Path) -> bool:
    """Whether a folder holds a pack that is not done."""
    return (folder / _FOLDER / FACTS).is_file()


class Journal:
    """The journal of a pack's folder; one process at a time has it.

    Args:
        folder: the pack's; made if need be.
        facts: what the pack depends on: a run that goes on must have the same.

    Attributes:
        place: how far the run has come.
        refused: the images that were not stored, so far.
        resumed: how many images an earlier run has done.

    Raises:
        BadInput: an earlier run had other facts; the message shows which.
        BadPack: an entry is missing.
        OutputError: another process is packing there, or it cannot be written.
    """

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        self._pack = folder
        self._folder = folder / _FOLDER
        self._entries: list[Path] = []
        self.place = Place()
        self.refused: list[Refused] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = claimed(self._folder / _LOCK, f"{folder}: another process is packing there")
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
        try:
            self._compare(facts)
            self._read()
        except BaseException:
            self._lock.close()
            raise
        self.resumed = self.place.next

    def add(self, rows: Sequence[Mapping[str, Any]], refused: Sequence[Refused], place: Place) -> None:
        """Write an entry; the images it tells of must be on the disk.

        Args:
            rows: columns of an index.
            refused: images that were not stored.
            place: how far the run has come.

        Raises:
            OutputError: it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = index_schema()
        columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
        told = {"place": asdict(place), "refused": [asdict(item) for item in refused]}
        table = pa.Table.from_arrays(columns, schema=schema).replace_schema_metadata({_META: json.dumps(told).encode()})
        entry = self._folder / f"{len(self._entries):08d}.parquet"
        work = entry.with_suffix(".part")
        try:
            pq.write_table(table, work)
            synced(work)
            os.replace(work, entry)
            sync_folder(self._folder)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"{entry}: cannot be written: {_reason(error)}") from error
        self._entries.append(entry)
        self.refused += refused
        self.place = place

    def table(self) -> pa.Table:
        """The rows of all entries, in order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = [pq.ParquetFile(entry).read().replace_schema_metadata(None) for entry in self._entries]
        return pa.concat_tables(tables) if tables else index_schema().empty_table()

    def remove(self) -> None:
        """Remove the journal: the pack is done."""
        self.close()
        self.discard(self._pack)

    @staticmethod
    def discard(folder: Path) -> None:
        """Remove a journal from a pack's folder, if there is one.

        Raises:
            OSError: it cannot be removed.
        """
        place = folder / _FOLDER
        if place.is_dir():
            # Without its facts it is none any more, so a kill in the midst of this leaves no half of one.
            (place / FACTS).unlink(missing_ok=True)
            sync_folder(place)
            shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _compare(self, facts: Mapping[str, object]) -> None:
        try:
            if not (self._folder / FACTS).is_file():
                for stale in self._folder.glob("*.parquet"):
                    stale.unlink()
            compared(self._folder, facts, f"{self._pack}: holds a pack in the making with other settings")
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written: {_reason(error)}") from error

    def _read(self) -> None:
        import pyarrow.parquet as pq

        self._entries = sorted(self._folder.glob("*.parquet"))
        for number, entry in enumerate(self._entries):
            if entry.stem != f"{number:08d}":
                raise BadPack(f"{self._folder}: expected entry {number:08d}, got {entry.stem}: the journal is damaged")
            told = json.loads(pq.read_metadata(entry).metadata[_META])
            self.place = Place(**told["place"])
            self.refused += [Refused(**item) for item in told["refused"]]
        self._cut_back()

    def _cut_back(self) -> None:
        """Bring the shards to where the last entry left them."""
        current = shard_name(self.place.shard)
        try:
            whole, part = self._pack / current, self._pack / f"{current}.part"
            if self.place.length and not part.exists() and whole.exists():
                os.replace(whole, part)
            kept = {shard_name(number) for number in range(self.place.shard)}
            kept |= {part.name} if self.place.length else set()
            for found in [*self._pack.glob("shard-*.tar"), *self._pack.glob("shard-*.tar.part")]:
                if found.name not in kept:
                    found.unlink()
        except OSError as error:
            raise OutputError(f"{self._pack}: cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
