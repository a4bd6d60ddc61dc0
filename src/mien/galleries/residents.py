"""The templates of a memory gallery: the index that is searched, and whose each template is."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import IdentityExists, IdentityNotFound
from mien.galleries.batch import require_fit
from mien.galleries.paging import Page
from mien.galleries.protocol import GalleryOptions
from mien.matching import SearchIndex
from mien.types import Match, Templates

__all__ = ["Residents"]


class Residents:
    """Vectors, template ids, identity names and tags; an identity is a number that is never given out twice.

    Safe to use from many threads; a search holds the lock only while it takes a snapshot.
    """

    def __init__(self, space: str, dimension: int, options: GalleryOptions) -> None:
        self.space = space
        self.index = SearchIndex(dimension, options.codec)
        self._fusion = options.fusion
        self._names: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._tags: dict[int, set[str]] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.index)

    def add(
        self,
        ids: ArrayLike,
        numbers: ArrayLike,
        vectors: ArrayLike,
        names: Mapping[int, str],
        tags: Mapping[int, set[str]],
    ) -> None:
        """Add templates; ``names`` holds the identities that are new, ``tags`` what identities get in addition."""
        with self._lock:
            self._names.update(names)
            self._numbers.update((name, number) for number, name in names.items())
            for number, own in tags.items():
                self._tags[number] = self._tags.get(number, set()) | own
            self.index.add(ids, numbers, vectors)

    def remove(self, ids: ArrayLike) -> None:
        """Remove templates, and with its last template an identity's name and tags."""
        with self._lock:
            gone = set(self.index.remove(ids))
            for number in gone:
                del self._numbers[self._names[number]]
                self._tags.pop(number, None)
            if gone:
                # A search under way reads the old names, so they are replaced and not emptied.
                self._names = {number: name for number, name in self._names.items() if number not in gone}

    def rename(self, identity: str, new_name: str, merge: bool) -> int:
        """See ``Gallery.rename``, for canonical names."""
        with self._lock:
            number, other = self.required_number(identity), self._numbers.get(new_name)
            ids, vectors = self.index.of_identity(number)
            if new_name == identity:
                return len(ids)
            if other is not None and not merge:
                raise IdentityExists(f"the gallery holds an identity {new_name!r} already: merge=True joins the two")
            del self._numbers[identity]
            # A search under way reads the old names, so they are replaced and not changed.
            if other is None:
                self._numbers[new_name] = number
                self._names = {**self._names, number: new_name}
                return len(ids)
            self._names = {held: name for held, name in self._names.items() if held != number}
            self._tags[other] = self._tags.get(other, set()) | self._tags.pop(number, set())
            self.index.remove(ids)
            self.index.add(ids, np.full(len(ids), other), vectors)
            return self.index.counts()[other]

    def number(self, identity: str) -> int | None:
        """The number of the identity of that canonical name."""
        return self._numbers.get(identity)

    def required_number(self, identity: str) -> int:
        """The number of the identity of that canonical name; raises IdentityNotFound."""
        number = self._numbers.get(identity)
        if number is None:
            raise IdentityNotFound(f"the gallery holds no identity {identity!r}")
        return number

    def identities(self, page: Page) -> list[tuple[str, int]]:
        """Name and number of templates of a page of the identities, sorted by name."""
        with self._lock:
            names = self._names
            counts = self.index.counts()
        return page.of((names[number], count) for number, count in counts.items())

    def count_identities(self) -> int:
        """How many identities are enrolled."""
        return len(self._numbers)

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """Ids and templates of the identity of that canonical name; raises IdentityNotFound."""
        with self._lock:
            ids, vectors = self.index.of_identity(self.required_number(identity))
        return [int(id_) for id_ in ids], Templates(vectors, self.space)

    def tags(self, identity: str) -> set[str]:
        """The tags of the identity of that canonical name; raises IdentityNotFound."""
        with self._lock:
            return set(self._tags.get(self.required_number(identity), ()))

    def set_tags(self, identity: str, tags: set[str]) -> None:
        """Give the identity of that canonical name these tags and no others; raises IdentityNotFound."""
        with self._lock:
            self._tags[self.required_number(identity)] = tags

    def search(
        self,
        probes: Templates,
        top: int,
        threshold: float | None,
        tags: set[str] | None,
        identities: Collection[str] | None,
    ) -> list[list[Match]]:
        """What ``Gallery.search`` returns, for canonical tags and names."""
        require_fit(probes, self.space, self.index.dimension)
        with self._lock:
            snapshot, names = self.index.snapshot(self._fusion), self._names
            allowed = self._allowed(tags, identities)
        return snapshot.search(probes.vectors, names, top=top, threshold=threshold, allowed=allowed)

    def _allowed(self, tags: set[str] | None, identities: Collection[str] | None) -> NDArray[np.int64] | None:
        """The identities that may be found, or None for all."""
        if tags is None and identities is None:
            return None
        known = self._numbers
        numbers = set(known.values()) if identities is None else {known[name] for name in identities if name in known}
        if tags is not None:
            numbers &= {number for number, own in self._tags.items() if own & tags}
        return np.array(sorted(numbers), np.int64)
