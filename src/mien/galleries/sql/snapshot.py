"""The index of a gallery in a file beside its database, which opens in milliseconds whatever its size.

It is a copy and never needed: one that is missing, damaged or of another state of the gallery is passed over. What
ties it to a state is a token that is drawn when it is written and kept in the gallery's row. Later removals are erased
in the file, and a backup of the database that is put back does not know of them: so what the file lacks is compared
with the removals that the database has logged.
"""

from __future__ import annotations

import glob
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput, GalleryError
from mien.matching import SearchIndex, erase_rows

__all__ = ["Copy", "SnapshotFile", "new_token"]


def new_token() -> str:
    """A token that no other snapshot has."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """What a snapshot holds.

    Attributes:
        index: what was enrolled when it was written, without what was erased since.
        facts: what was kept with it.
        erased: ``(n,) int64``, the ids of the templates that were erased since.
    """

    index: SearchIndex
    facts: dict[str, Any]
    erased: NDArray[np.int64]


class SnapshotFile:
    """One gallery's snapshot, beside the database's file.

    Args:
        database: the database's file.
        gallery_id: the gallery's number there.
    """

    def __init__(self, database: Path, gallery_id: int) -> None:
        self.path = Path(f"{database}.{gallery_id}.index")
        self._database = database

    def load(self) -> Copy | None:
        """What the file holds, if it is whole."""
        try:
            index, facts = SearchIndex.load(self.path)
        except (BadInput, OSError):
            return None
        return Copy(index, facts, index.removed_ids())

    def save(self, index: SearchIndex, facts: dict[str, Any], tell: Callable[[int], None] | None = None) -> None:
        """Write an index, in place of a former one; the file appears whole or not at all.

        It may be read and written by those who may read and write the database. To be called by one at a time.

        Args:
            index: what to write.
            facts: what to keep with it.
            tell: is given how many more templates were written.

        Raises:
            GalleryError: the folder cannot be written, or the disk is full.
        """
        try:
            for path in self._unfinished():
                path.unlink(missing_ok=True)
            index.save(self.path, facts, progress=tell)
            _share(self.path, os.stat(self._database))
        except OSError as error:
            raise GalleryError(f"{self.path}: the snapshot cannot be written: {error.strerror}") from error

    def _unfinished(self) -> list[Path]:
        """What processes have left that were killed while they wrote the file."""
        return [*self.path.parent.glob(f".{glob.escape(self.path.name)}.*")]

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.path.exists()

    def is_left(self) -> bool:
        """Whether there is such a file, or what is left of an attempt to write one."""
        return self.path.exists() or bool(self._unfinished())

    def erase(self, template_ids: Sequence[int] | None) -> None:
        """Overwrite the rows of removed templates with zeros; where that fails, the whole file goes.

        Args:
            template_ids: which; None: there are too many to tell.

        Raises:
            GalleryError: the file can neither be changed nor removed.
        """
        if template_ids is None:
            self.remove()
        if not template_ids or not self.exists():
            return
        try:
            erase_rows(self.path, template_ids)
        except (BadInput, OSError, ValueError):
            self.remove()

    def remove_unless(self, token: str | None) -> None:
        """Remove all that is left unless it is the file with this token. To be called while nobody writes one.

        Raises:
            GalleryError: it cannot be removed.
        """
        copy = None if token is None else self.load()
        current = copy is not None and copy.facts.get("token") == token
        self._remove(self._unfinished() if current else [self.path, *self._unfinished()])

    def remove(self) -> None:
        """Remove the file, if there is one.

        Raises:
            GalleryError: it cannot be removed.
        """
        self._remove([self.path])

    def _remove(self, paths: list[Path]) -> None:
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise GalleryError(f"{self.path}: the snapshot cannot be removed: {error.strerror}") from error


def _share(path: Path, model: os.stat_result) -> None:
    """Give a file the group and the mode of another; its group gets nothing if that cannot be made the same."""
    mode = stat.S_IMODE(model.st_mode) & 0o666
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(path, -1, model.st_gid)
        with suppress(PermissionError):
            os.chown(path, model.st_uid, -1)
        if os.stat(path).st_gid != model.st_gid:
            mode &= ~stat.S_IRWXG
    os.chmod(path, mode)
