"""The templates of one gallery in memory: where every back end searches, and all that a memory gallery has."""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput, IdentityNotFound, SpaceMismatch, TemplateNotFound
from mien.galleries.names import canonical_name
from mien.matching import SearchIndex
from mien.types import Match, Templates

__all__ = ["NewTemplates", "Residents", "checked_id", "checked_items", "require_fit", "stacked"]

NewTemplates = list[tuple[str, Templates]]
"""Canonical name and templates of each item to enroll."""


class Residents:
    """Vectors, template ids and identity names; an identity is a number that is never given out twice.

    Safe to use from many threads; a search holds the lock only while it takes a snapshot.
    """

    def __init__(self, space: str, dimension: int) -> None:
        self.space = space
        self.index = SearchIndex(dimension)
        self._names: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.index)

    def add(self, ids: ArrayLike, numbers: ArrayLike, vectors: ArrayLike, names: Mapping[int, str]) -> None:
        """Add templates; ``names`` holds the identities that are new."""
        with self._lock:
            self._names.update(names)
            self._numbers.update((name, number) for number, name in names.items())
            self.index.add(ids, numbers, vectors)

    def remove(self, ids: ArrayLike) -> None:
        """Remove templates, and with its last template an identity's name."""
        with self._lock:
            gone = set(self.index.remove(ids))
            for number in gone:
                name = self._names[number]
                if self._numbers[name] == number:
                    del self._numbers[name]
            if gone:
                # A search under way reads the old names, so they are replaced and not emptied.
                self._names = {number: name for number, name in self._names.items() if number not in gone}

    def number(self, identity: str) -> int | None:
        """The number of the identity of that canonical name."""
        return self._numbers.get(identity)

    def identities(self) -> list[tuple[str, int]]:
        """Name and number of templates of every identity, sorted by name."""
        with self._lock:
            names = self._names
            counts = self.index.counts()
        return sorted((names[number], count) for number, count in counts.items())

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """Ids and templates of the identity of that canonical name; raises IdentityNotFound."""
        with self._lock:
            number = self.number(identity)
            if number is None:
                raise IdentityNotFound(f"the gallery holds no identity {identity!r}")
            ids, vectors = self.index.of_identity(number)
        return [int(id_) for id_ in ids], Templates(vectors, self.space)

    def search(self, probes: Templates, top: int, threshold: float | None) -> list[list[Match]]:
        """What ``Gallery.search`` returns."""
        require_fit(probes, self.space, self.index.dimension)
        with self._lock:
            snapshot, names = self.index.snapshot(), self._names
        return snapshot.search(probes.vectors, names, top=top, threshold=threshold)


def require_fit(templates: Templates, space: str, dimension: int) -> None:
    """Check that templates belong to a gallery's space and have its dimension.

    Raises:
        SpaceMismatch: another space.
        BadInput: another dimension.
    """
    if templates.space != space:
        raise SpaceMismatch(f"the gallery holds templates of {space}, got templates of {templates.space}")
    if templates.dimension != dimension:
        raise BadInput(f"the gallery holds templates of dimension {dimension}, got dimension {templates.dimension}")


def checked_items(items: Iterable[tuple[str, Templates]]) -> NewTemplates:
    """The items with canonical names, checked among themselves before a gallery is touched.

    Raises:
        BadInput: a name is not fit, an item is no pair, or two differ in dimension.
        SpaceMismatch: two items are of different spaces.
    """
    checked: NewTemplates = []
    for item in items:
        try:
            identity, templates = item
        except (TypeError, ValueError) as error:
            raise BadInput(f"expected pairs of an identity and its Templates, got {type(item).__name__}") from error
        if not isinstance(templates, Templates):
            raise BadInput(f"expected Templates for {identity!r}, got {type(templates).__name__}")
        name = canonical_name(identity)
        if checked:
            first = checked[0][1]
            if templates.space != first.space:
                raise SpaceMismatch(f"expected all templates of {first.space}, got some of {templates.space}")
            require_fit(templates, first.space, first.dimension)
        elif templates.dimension < 1:
            raise BadInput("expected templates of dimension 1 or more, got dimension 0")
        checked.append((name, templates))
    return checked


def stacked(items: NewTemplates, numbers: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Identity number ``(n,)`` and vector ``(n, d)`` of every template of the items."""
    counts = [len(templates) for _, templates in items]
    return (
        np.repeat(np.array([numbers[name] for name, _ in items], np.int64), counts),
        np.concatenate([templates.vectors for _, templates in items]),
    )


def checked_id(template_id: int) -> int:
    """A template id as an int that a gallery can hold; raises TemplateNotFound for what no gallery gives out."""
    try:
        number = operator.index(template_id)
    except TypeError as error:
        raise TemplateNotFound(f"expected a template's number, got {template_id!r}") from error
    if not 0 < number < 2**63:
        raise TemplateNotFound(f"the gallery holds no template {number}")
    return number
