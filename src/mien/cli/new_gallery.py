"""A gallery that is made with the first templates stored in it: a run that stores none leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.galleries import Gallery
    from mien.types import Enrollment, Match, Templates

__all__ = ["NewGallery"]


class NewGallery:
    """The ``Gallery`` at a URL where there is none yet.

    Until something is stored, its space is None and its length 0; what asks for more raises ``BadGallery``, since
    there is no gallery.

    Args:
        url: where it is to be made.
        name: which of the galleries there.
    """

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._lock = threading.Lock()
        self._made: Gallery | None = None

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        return None if self._made is None else self._made.space

    def add(self, identity: str, templates: Templates) -> list[Enrollment]:
        """See ``Gallery.add``; makes the gallery."""
        return self.add_many([(identity, templates)])

    def add_many(self, items: Iterable[tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``; makes the gallery, if there is anything to store."""
        taken = list(items)
        if not any(len(templates) for _, templates in taken):
            return []
        return self._opened(create=True).add_many(taken)

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        return self._opened().remove_identity(identity)

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        self._opened().remove_template(template_id)

    def identities(self) -> list[tuple[str, int]]:
        """See ``Gallery.identities``."""
        return self._opened().identities()

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        return self._opened().templates(identity)

    def search(self, probes: Templates, *, top: int = 1, threshold: float | None = None) -> list[list[Match]]:
        """See ``Gallery.search``."""
        return self._opened().search(probes, top=top, threshold=threshold)

    def _opened(self, *, create: bool = False) -> Gallery:
        from mien.galleries import open_gallery

        with self._lock:
            if self._made is None:
                self._made = open_gallery(self.url, create=create)
            return self._made

    def __len__(self) -> int:
        """How many templates are enrolled."""
        return 0 if self._made is None else len(self._made)

    def close(self) -> None:
        """See ``Gallery.close``."""
        if self._made is not None:
            self._made.close()

    def __enter__(self) -> NewGallery:
        """The gallery itself, closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gallery."""
        self.close()
