"""Several galleries searched at once, as if they were one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from mien.errors import BadInput, SpaceMismatch
from mien.galleries.protocol import Gallery
from mien.matching import checked_top
from mien.types import Match, Templates

__all__ = ["GalleryGroup", "Searchable"]


class Searchable(Protocol):
    """What can be searched: a gallery, or several together."""

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
        ...

    def __len__(self) -> int:
        """How many templates there are."""
        ...


class GalleryGroup:
    """Galleries of one embedding space, searched together.

    An identity is a gallery's own: the same name in two galleries makes two candidates, each of which says in
    ``Match.gallery`` where it was found. That is the gallery's name or, where two have the same name, its URL without
    the options.

    Args:
        galleries: at least one, each once; they stay the caller's to close.

    Raises:
        BadInput: there is none, or two are the same.
        SpaceMismatch: they hold templates of different spaces.
    """

    def __init__(self, galleries: Sequence[Gallery]) -> None:
        if not galleries:
            raise BadInput("expected at least one gallery to search, got none")
        spaces = {gallery.space: gallery.url for gallery in galleries if gallery.space is not None}
        if len(spaces) > 1:
            held = "; ".join(f"{url} holds templates of {space}" for space, url in spaces.items())
            raise SpaceMismatch(f"expected galleries of one space: {held}")
        self._galleries = tuple(galleries)
        self.names = _told_apart(galleries)

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment in any."""
        return next((gallery.space for gallery in self._galleries if gallery.space is not None), None)

    def search(
        self,
        probes: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        identities: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """The best identities of all galleries for each probe; arguments and errors as for ``Gallery.search``.

        Returns:
            A list per probe, best first; equal scores in the order of the galleries, and inside one in its own order.
        """
        top = checked_top(top)
        found: list[list[Match]] = [[] for _ in range(len(probes))]
        for name, gallery in zip(self.names, self._galleries, strict=True):
            matches = gallery.search(probes, top=top, threshold=threshold, tags=tags, identities=identities)
            for together, ones in zip(found, matches, strict=True):
                together += (replace(match, gallery=name) for match in ones)
        # The sort is stable, so equal scores stay in the order in which they were taken in.
        ranked = (sorted(together, key=lambda match: -match.score)[:top] for together in found)
        return [[replace(match, rank=rank) for rank, match in enumerate(best, start=1)] for best in ranked]

    def __len__(self) -> int:
        """How many templates are enrolled in all of them."""
        return sum(len(gallery) for gallery in self._galleries)


def _told_apart(galleries: Sequence[Gallery]) -> tuple[str, ...]:
    """A name for each gallery that no other one has."""
    names = [gallery.name for gallery in galleries]
    places = [gallery.url.partition("?")[0] for gallery in galleries]
    told = tuple(n if names.count(n) == 1 else place for n, place in zip(names, places, strict=True))
    if len(set(told)) != len(told):
        raise BadInput(f"expected each gallery once, got {', '.join(told)}")
    return told
