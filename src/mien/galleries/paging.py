"""Part of the identities of a gallery: a page of them, or those whose name holds a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from mien.errors import BadInput
from mien.galleries.names import canonical_name

__all__ = ["Page", "checked_page"]


@dataclass(frozen=True, slots=True)
class Page:
    """Which identities are asked for; see ``Gallery.identities``.

    Attributes:
        after: a canonical name: only those behind it; None: from the first on.
        limit: at most so many; None: all.
        containing: a folded text that the names hold; None: any name.
    """

    after: str | None = None
    limit: int | None = None
    containing: str | None = None

    def takes(self, name: str) -> bool:
        """Whether a canonical name is behind ``after`` and holds the text."""
        if self.after is not None and name <= self.after:
            return False
        return self.containing is None or self.containing in _folded(name)

    def of(self, counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """The page, out of names and numbers of templates in any order."""
        return sorted(entry for entry in counts if self.takes(entry[0]))[: self.limit]


def checked_page(after: str | None, limit: int | None, containing: str | None) -> Page:
    """The page that these arguments of ``Gallery.identities`` mean.

    Raises:
        BadInput: ``after`` cannot be a name, ``limit`` is no positive number, or ``containing`` no text.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise BadInput(f"limit: expected a number of at least 1, got {limit!r}")
    if containing is not None and not isinstance(containing, str):
        raise BadInput(f"containing: expected a string, got {type(containing).__name__}")
    start = None if after is None else canonical_name(after, "after")
    return Page(start, limit, _folded(containing) if containing else None)


def _folded(text: str) -> str:
    """Text without the difference of upper and lower case: Unicode Standard, section 3.13, default caseless matching.

    Composed anew, since folding may take a character apart.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
