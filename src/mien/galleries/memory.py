"""A gallery that lives in memory and is gone when it is closed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

import numpy as np

from mien.errors import BadGallery, GalleryError, IdentityNotFound, TemplateNotFound
from mien.galleries.batch import canonical_names, canonical_tags, checked_batch, checked_id, enrollments
from mien.galleries.keeper import Keeper, cutoff
from mien.galleries.names import canonical_name
from mien.galleries.paging import checked_page
from mien.galleries.protocol import GalleryOptions, NewEnrollment, Portraits
from mien.galleries.residents import Residents
from mien.galleries.urls import GalleryUrl
from mien.matching import checked_threshold, checked_top
from mien.types import Enrollment, FloatArray, Match, Templates

__all__ = ["MemoryGallery"]


class MemoryGallery:
    """The ``Gallery`` behind ``memory:``; every opening makes a new, empty one.

    Raises:
        BadGallery: the URL asks for an audit log or for encryption, which have no use in memory.
    """

    def __init__(self, url: GalleryUrl) -> None:
        for option, off in (("audit", "off"), ("audit_days", None), ("encrypted", False)):
            if url.named.get(option, off) != off:
                raise BadGallery(f"a memory gallery has no {option}: nothing of it is ever stored, got {url.shown!r}")
        self.url = url.shown
        self.name = url.name
        self._options = GalleryOptions(**{**url.named, "audit": "off"})
        self._residents: Residents | None = None
        self._created: dict[int, float] = {}
        self._oldest = math.inf
        self._portraits: dict[int, tuple[bytes, FloatArray]] = {}
        self._last_id = 0
        self._last_number = 0
        self._closed = False
        self._lock = threading.RLock()
        self._keeper = Keeper(self._expire, self._options.retention_days)

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        with self._open() as residents:
            return None if residents is None else residents.space

    @property
    def options(self) -> GalleryOptions:
        """How the gallery keeps what it holds."""
        return self._options

    @contextmanager
    def _open(self) -> Iterator[Residents | None]:
        """What is held now, without what has expired."""
        with self._lock:
            if self._closed:
                raise GalleryError(f"the gallery {self.url} is closed")
            self._expire()
            yield self._residents

    @contextmanager
    def _holding(self, name: str) -> Iterator[Residents]:
        """What is held now, if there is anything; raises IdentityNotFound."""
        with self._open() as residents:
            if residents is None:
                raise IdentityNotFound(f"the gallery holds no identity {name!r}")
            yield residents

    def _expire(self) -> None:
        with self._lock:
            first_kept = cutoff(self._options.retention_days)
            if first_kept is not None and self._oldest < first_kept:
                self._remove([id_ for id_, created in self._created.items() if created < first_kept])
                self._oldest = min(self._created.values(), default=math.inf)

    def _remove(self, ids: list[int]) -> None:
        if ids and self._residents is not None:
            self._residents.remove(ids)
            for id_ in ids:
                del self._created[id_]
                self._portraits.pop(id_, None)

    def add(
        self,
        identity: str,
        templates: Templates,
        *,
        tags: Collection[str] = (),
        portraits: Portraits | None = None,
    ) -> list[Enrollment]:
        """See ``Gallery.add``."""
        if not tags and portraits is None:
            return self.add_many([(identity, templates)])
        return self.add_many([NewEnrollment(identity, templates, tags, portraits)])

    def add_many(self, items: Iterable[NewEnrollment | tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``."""
        with self._open():
            pass
        batch = checked_batch(items)
        with self._open() as residents:
            if residents is not None:
                batch.require_fit(residents.space, residents.index.dimension)
            if not len(batch):
                return []
            if residents is None:
                residents = Residents(batch.space or "", batch.dimension, self._options)
            numbers: dict[str, int] = {}
            new: dict[int, str] = {}
            for name in dict.fromkeys(batch.names):
                number = residents.number(name)
                if number is None:
                    number = self._last_number + len(new) + 1
                    new[number] = name
                numbers[name] = number
            first = self._last_id + 1
            ids = range(first, first + len(batch))
            tags = {numbers[name]: own for name, own in batch.tags.items()}
            residents.add(np.arange(first, first + len(batch)), batch.owners(numbers), batch.vectors, new, tags)
            self._residents = residents
            now = time.time()
            self._created.update(dict.fromkeys(ids, now))
            self._oldest = min(self._oldest, now)
            if self._options.portraits and batch.pictures is not None and batch.landmarks is not None:
                for id_, picture, landmarks in zip(ids, batch.pictures, batch.landmarks, strict=True):
                    if picture is not None:
                        self._portraits[id_] = (picture, landmarks)
            self._last_id += len(batch)
            self._last_number += len(new)
        return enrollments(batch, first)

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        name = canonical_name(identity)
        with self._holding(name) as residents:
            ids, _ = residents.templates(name)
            self._remove(ids)
            return len(ids)

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        with self._open():
            id_ = checked_id(template_id)
            if id_ not in self._created:
                raise TemplateNotFound(f"the gallery holds no template {id_}")
            self._remove([id_])

    def rename(self, identity: str, new_name: str, *, merge: bool = False) -> int:
        """See ``Gallery.rename``."""
        name, new = canonical_name(identity), canonical_name(new_name)
        with self._holding(name) as residents:
            return residents.rename(name, new, merge)

    def identities(
        self, *, after: str | None = None, limit: int | None = None, containing: str | None = None
    ) -> list[tuple[str, int]]:
        """See ``Gallery.identities``."""
        page = checked_page(after, limit, containing)
        with self._open() as residents:
            return [] if residents is None else residents.identities(page)

    def count_identities(self) -> int:
        """See ``Gallery.count_identities``."""
        with self._open() as residents:
            return 0 if residents is None else residents.count_identities()

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        name = canonical_name(identity)
        with self._holding(name) as residents:
            return residents.templates(name)

    def portrait(self, template_id: int) -> bytes | None:
        """See ``Gallery.portrait``."""
        with self._open():
            id_ = checked_id(template_id)
            if id_ not in self._created:
                raise TemplateNotFound(f"the gallery holds no template {id_}")
            return self._portraits[id_][0] if id_ in self._portraits else None

    def tags(self, identity: str) -> list[str]:
        """See ``Gallery.tags``."""
        name = canonical_name(identity)
        with self._holding(name) as residents:
            return sorted(residents.tags(name))

    def set_tags(self, identity: str, tags: Collection[str]) -> None:
        """See ``Gallery.set_tags``."""
        name, own = canonical_name(identity), canonical_tags(tags)
        with self._holding(name) as residents:
            residents.set_tags(name, own)

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
        top, threshold = checked_top(top), checked_threshold(threshold)
        tagged = None if tags is None else canonical_tags(tags)
        named = None if identities is None else canonical_names(identities)
        with self._open() as residents:
            if residents is None:
                return [[] for _ in range(len(probes))]
        return residents.search(probes, top, threshold, tagged, named)

    def __len__(self) -> int:
        """How many templates are enrolled."""
        with self._open() as residents:
            return 0 if residents is None else len(residents)

    def close(self) -> None:
        """See ``Gallery.close``."""
        self._keeper.stop()
        with self._lock:
            self._closed = True
            self._residents = None
            self._created, self._portraits = {}, {}

    def __enter__(self) -> MemoryGallery:
        """The gallery itself, closed at the end of the block."""
        with self._open():
            return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gallery."""
        self.close()
