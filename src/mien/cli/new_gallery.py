"""A gallery that is made with the first templates stored in it: a run that stores none leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.galleries import Gallery, GalleryUrl
    from mien.galleries.protocol import GalleryOptions, NewEnrollment, Portraits
    from mien.types import Enrollment, Match, Templates

__all__ = ["NewGallery"]


class NewGallery:
    """The ``Gallery`` at a URL where there is none yet.

    Until something is stored, its space is None and its length 0; what asks for more raises ``BadGallery``, since
    there is no gallery.

    Args:
        url: where it is to be made, and how.
    """

    def __init__(self, url: GalleryUrl) -> None:
        self.url = url.shown
        self.name = url.name
        self._url = url
        self._lock = threading.Lock()
        self._made: Gallery | None = None

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        return None if self._made is None else self._made.space

    @property
    def options(self) -> GalleryOptions:
        """See ``Gallery.options``; before the gallery is made, those that the URL asks for."""
        from mien.galleries.protocol import GalleryOptions

        return GalleryOptions(**self._url.named) if self._made is None else self._made.options

    def add(
        self,
        identity: str,
        templates: Templates,
        *,
        tags: Collection[str] = (),
        portraits: Portraits | None = None,
    ) -> list[Enrollment]:
        """See ``Gallery.add``; makes the gallery."""
        from mien.galleries.protocol import NewEnrollment

        return self.add_many([NewEnrollment(identity, templates, tags, portraits)])

    def add_many(self, items: Iterable[NewEnrollment | tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``; makes the gallery, if there is anything to store."""
        taken = list(items)
        if not any(len(item[1] if isinstance(item, tuple) else item.templates) for item in taken):
            return []
        return self._opened(create=True).add_many(taken)

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        return self._opened().remove_identity(identity)

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        self._opened().remove_template(template_id)

    def rename(self, identity: str, new_name: str, *, merge: bool = False) -> int:
        """See ``Gallery.rename``."""
        return self._opened().rename(identity, new_name, merge=merge)

    def identities(
        self, *, after: str | None = None, limit: int | None = None, containing: str | None = None
    ) -> list[tuple[str, int]]:
        """See ``Gallery.identities``."""
        return self._opened().identities(after=after, limit=limit, containing=containing)

    def count_identities(self) -> int:
        """See ``Gallery.count_identities``."""
        return self._opened().count_identities()

    def portrait(self, template_id: int) -> bytes | None:
        """See ``Gallery.portrait``."""
        return self._opened().portrait(template_id)

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        return self._opened().templates(identity)

    def tags(self, identity: str) -> list[str]:
        """See ``Gallery.tags``."""
        return self._opened().tags(identity)

    def set_tags(self, identity: str, tags: Collection[str]) -> None:
        """See ``Gallery.set_tags``."""
        self._opened().set_tags(identity, tags)

    def search(
        self,
        probes: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        identities: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """See ``Gallery.search``."""
        return self._opened().search(probes, top=top, threshold=threshold, tags=tags, identities=identities)

    def _opened(self, *, create: bool = False) -> Gallery:
        from mien.galleries import open_gallery

        with self._lock:
            if self._made is None:
                self._made = open_gallery(self._url.url, create=create)
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
