"""What every gallery can do, whatever holds its templates."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, runtime_checkable

from mien.types import Enrollment, Match, Templates

__all__ = ["Gallery"]


@runtime_checkable
class Gallery(Protocol):
    """Templates enrolled under identities, in one embedding space; safe to use from many threads.

    An identity exists as long as it has a template. Names are stored in Unicode's composed form (NFC) without
    surrounding white space, so two spellings of one name are one identity. Template ids are never given out
    twice, not even after a removal. The embedding space is fixed by the first enrollment and stays, even when
    everything is removed.

    Every method may raise ``GalleryError`` (closed, read-only, disk full), ``BadGallery`` (damaged) and, for
    galleries that several processes share, ``GalleryLocked``.
    """

    @property
    def url(self) -> str:
        """The URL that the gallery was opened with."""
        ...

    @property
    def name(self) -> str:
        """The gallery's name at that place, ``default`` unless the URL says another."""
        ...

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        ...

    def add(self, identity: str, templates: Templates) -> list[Enrollment]:
        """Enroll templates under an identity, new or known; all of them or, if anything fails, none.

        Returns:
            One enrollment per template, in their order. What is returned has been stored for good.

        Raises:
            BadInput: the name is empty, longer than 1000 characters or holds control characters, or the
                templates have another dimension than the gallery's.
            SpaceMismatch: the templates are of another space than the gallery's.
        """
        ...

    def add_many(self, items: Iterable[tuple[str, Templates]]) -> list[Enrollment]:
        """Enroll the templates of many identities at once; all of them or none. Raises what ``add`` raises."""
        ...

    def remove_identity(self, identity: str) -> int:
        """Remove an identity and its templates; how many there were.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        ...

    def remove_template(self, template_id: int) -> None:
        """Remove one template, and its identity if that was the last one.

        Raises:
            TemplateNotFound: there is none of that id.
        """
        ...

    def identities(self) -> list[tuple[str, int]]:
        """Name and number of templates of every identity, sorted by name."""
        ...

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """Ids and templates of one identity, in the order of the ids.

        Raises:
            IdentityNotFound: there is none of that name.
        """
        ...

    def search(self, probes: Templates, *, top: int = 1, threshold: float | None = None) -> list[list[Match]]:
        """The best identities for each probe, exactly, each by its best template.

        Args:
            probes: any number of them.
            top: the most identities per probe, at least 1.
            threshold: the least score of a match (inclusive), or None for no limit.

        Returns:
            A list per probe, best first; equal scores are ordered by identity name.

        Raises:
            SpaceMismatch: the probes are of another space than the gallery's.
            BadInput: ``top`` or ``threshold`` is out of range.
        """
        ...

    def __len__(self) -> int:
        """How many templates are enrolled."""
        ...

    def close(self) -> None:
        """Give back files and memory; closing twice is fine, any other call then raises ``GalleryError``."""
        ...

    def __enter__(self) -> Gallery:
        """The gallery itself, closed at the end of the block."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the gallery."""
        ...
