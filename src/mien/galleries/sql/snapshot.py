"""The index of a gallery in a file beside its database, which opens in milliseconds whatever its size.

It is a copy and never needed: one that is missing, damaged or of another state of the gallery is passed over. What
ties it to a state is a token that is drawn when it is written and kept in the gallery's row.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mien.errors import BadInput, GalleryError
from mien.matching import SearchIndex, erase_rows

__all__ = ["SnapshotFile", "new_token"]


def new_token() -> str:
    """A token that no other snapshot has."""
    return secrets.token_hex(16)


class SnapshotFile:
    """One gallery's snapshot.

    Args:
        path: where it is, or would be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, token: str) -> tuple[SearchIndex, dict[str, Any]] | None:
        """The index and its facts, if it is the one with this token."""
        try:
            index, facts = SearchIndex.load(self.path)
        except (BadInput, OSError):
            return None
        return (index, facts) if facts.get("token") == token else None

    def save(self, index: SearchIndex, facts: dict[str, Any]) -> None:
        """Write an index, in place of a former one; the file appears whole or not at all.

        Raises:
            GalleryError: the folder cannot be written, or the disk is full.
        """
        try:
            index.save(self.path, facts)
        except OSError as error:
            raise GalleryError(f"{self.path}: the snapshot cannot be written: {error.strerror}") from error

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.path.exists()

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

    def remove(self) -> None:
        """Remove the file, if there is one.

        Raises:
            GalleryError: it cannot be removed.
        """
        try:
            with suppress(FileNotFoundError):
                self.path.unlink()
        except OSError as error:
            raise GalleryError(f"{self.path}: the snapshot cannot be removed: {error.strerror}") from error
