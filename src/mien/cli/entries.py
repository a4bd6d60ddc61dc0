"""Which images were embedded, told by path, size and time of the last change."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An image as it was when it was embedded.

    Attributes:
        path: absolute.
        size_bytes: of the file.
        changed_ns: the file's last change.
        faces: rows it has.
    """

    path: str
    size_bytes: int
    changed_ns: int
    faces: int = 0

    @classmethod
    def of(cls, path: str) -> Entry | None:
        """The image at ``path`` as it is now, or None if there is no such file."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(os.path.abspath(path), status.st_size, status.st_mtime_ns)

    def is_same(self, other: Entry | None) -> bool:
        """Whether the file has not changed between the two."""
        mine = (self.path, self.size_bytes, self.changed_ns)
        return other is not None and mine == (other.path, other.size_bytes, other.changed_ns)
