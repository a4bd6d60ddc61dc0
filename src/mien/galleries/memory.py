"""A gallery that lives in memory and is gone when it is closed."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType

import numpy as np

from mien.errors import GalleryError, IdentityNotFound, TemplateNotFound
from mien.galleries.names import canonical_name
from mien.galleries.residents import Residents, checked_id, checked_items, require_fit, stacked
from mien.galleries.urls import DEFAULT_NAME
from mien.matching import checked_threshold, checked_top
from mien.types import Enrollment, Match, Templates

__all__ = ["MemoryGallery"]


class MemoryGallery:
    """The ``Gallery`` behind ``memory:``; every opening makes a new, empty one."""

    def __init__(self, url: str = "memory:", name: str = DEFAULT_NAME) -> None:
        self.url = url
        self.name = name
        self._residents: Residents | None = None
        self._last_id = 0
        self._last_number = 0
        self._closed = False
        self._lock = threading.RLock()

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        residents = self._open()
        return None if residents is None else residents.space

    def _open(self) -> Residents | None:
        if self._closed:
            raise GalleryError(f"the gallery {self.url} is closed")
        return self._residents

    def add(self, identity: str, templates: Templates) -> list[Enrollment]:
        """See ``Gallery.add``."""
        return self.add_many([(identity, templates)])

    def add_many(self, items: Iterable[tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``."""
        self._open()
        checked = checked_items(items)
        with self._lock:
            residents = self._open()
            if checked and residents is not None:
                require_fit(checked[0][1], residents.space, residents.index.dimension)
            filled = [(name, templates) for name, templates in checked if len(templates)]
            if not filled:
                return []
            if residents is None:
                residents = Residents(filled[0][1].space, filled[0][1].dimension)
            numbers: dict[str, int] = {}
            new: dict[int, str] = {}
            for name in dict.fromkeys(name for name, _ in filled):
                number = residents.number(name)
                if number is None:
                    number = self._last_number + len(new) + 1
                    new[number] = name
                numbers[name] = number
            codes, vectors = stacked(filled, numbers)
            ids = np.arange(self._last_id + 1, self._last_id + 1 + len(codes))
            residents.add(ids, codes, vectors, new)
            self._residents = residents
            self._last_id += len(ids)
            self._last_number += len(new)
        owners = [name for name, templates in filled for _ in range(len(templates))]
        return [Enrollment(name, id_) for name, id_ in zip(owners, ids.tolist(), strict=True)]

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        with self._lock:
            residents = self._open()
            name = canonical_name(identity)
            if residents is None:
                raise IdentityNotFound(f"the gallery holds no identity {name!r}")
            ids, _ = residents.templates(name)
            residents.remove(ids)
            return len(ids)

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        with self._lock:
            residents = self._open()
            id_ = checked_id(template_id)
            before = 0 if residents is None else len(residents)
            if residents is not None:
                residents.remove([id_])
            if residents is None or len(residents) == before:
                raise TemplateNotFound(f"the gallery holds no template {template_id}")

    def identities(self) -> list[tuple[str, int]]:
        """See ``Gallery.identities``."""
        residents = self._open()
        return [] if residents is None else residents.identities()

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        residents = self._open()
        name = canonical_name(identity)
        if residents is None:
            raise IdentityNotFound(f"the gallery holds no identity {name!r}")
        return residents.templates(name)

    def search(self, probes: Templates, *, top: int = 1, threshold: float | None = None) -> list[list[Match]]:
        """See ``Gallery.search``."""
        residents = self._open()
        top, threshold = checked_top(top), checked_threshold(threshold)
        return [[] for _ in range(len(probes))] if residents is None else residents.search(probes, top, threshold)

    def __len__(self) -> int:
        """How many templates are enrolled."""
        residents = self._open()
        return 0 if residents is None else len(residents)

    def close(self) -> None:
        """See ``Gallery.close``."""
        with self._lock:
            self._closed = True
            self._residents = None

    def __enter__(self) -> MemoryGallery:
        """The gallery itself, closed at the end of the block."""
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gallery."""
        self.close()
