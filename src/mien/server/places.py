"""The galleries of the server's place: opened by name, kept open, made and erased."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from mien.errors import BadGallery, BadInput, GalleryError, GalleryExists, GalleryNotFound
from mien.galleries import (
    DEFAULT_NAME,
    Gallery,
    GalleryOptions,
    GallerySummary,
    galleries_at,
    open_gallery,
    parse_url,
    remove_gallery,
)
from mien.galleries.options import STORED_OPTIONS

__all__ = ["NAME_PATTERN", "Places", "checked_gallery_name"]

_Result = TypeVar("_Result")

NAME_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"
"""What a gallery of the server may be called."""


def checked_gallery_name(name: str) -> str:
    """The name, if a gallery of the server may have it.

    Raises:
        BadInput: it may not.
    """
    if re.fullmatch(NAME_PATTERN[1:-1], name) is None:
        raise BadInput(
            "gallery: expected 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-', no '.' first, "
            f"got {name[:80]!a}"
        )
    return name


class Places:
    """The galleries at one place; safe to use from many threads. What it gives is not to be closed.

    A gallery ``default`` is always there: it is made, and its place with it, when it is first asked for. Options that
    the place's URL names hold for every gallery that is made here.

    Args:
        url: a gallery URL without a name.

    Raises:
        BadGallery: it is none.
    """

    def __init__(self, url: str) -> None:
        self._parsed = parse_url(url)
        place, _, query = url.partition("?")
        parts = [part for part in query.split("&") if part and not part.startswith("name=")]
        # Options that are kept with a gallery are given when it is made, the others whenever it is opened.
        self._given = dict(part.split("=", 1) for part in parts if part.partition("=")[0] in STORED_OPTIONS)
        self._opening = [part for part in parts if part.partition("=")[0] not in STORED_OPTIONS]
        self._place = place
        self._open: dict[str, Gallery] = {}
        self._lock = threading.Lock()

    def kept(self, name: str) -> Gallery | None:
        """The gallery of that name if it is open already; this waits for nothing."""
        return self._open.get(name)

    def get(self, name: str) -> Gallery:
        """The gallery of that name, opened once and kept.

        Raises:
            GalleryNotFound: there is none.
            BadInput: no gallery can have that name.
            GalleryError: it cannot be opened.
        """
        found = self._open.get(name)
        if found is not None:
            return found
        checked_gallery_name(name)
        with self._lock:
            found = self._open.get(name)
            if found is None:
                found = self._opened(name)
                self._open[name] = found
            return found

    def using(self, name: str, work: Callable[[Gallery], _Result]) -> _Result:
        """What the work makes of the gallery of that name; done again with the new one if it was just erased.

        Raises:
            GalleryNotFound: there is none, or it was erased meanwhile.
            BadInput: no gallery can have that name.
            GalleryError: it cannot be opened.
        """
        gallery = self.get(name)
        try:
            return work(gallery)
        except GalleryNotFound:
            # Another process has erased it, and maybe made it anew.
            self._forget(name, gallery)
        except GalleryError:
            if self._open.get(name) is gallery:
                raise
        return work(self.get(name))

    def check(self) -> None:
        """Find out whether the place can be used at all; no gallery is opened or made.

        Raises:
            GalleryError: it cannot be read, or its folder cannot be made.
        """
        if self._parsed.scheme != "memory":
            self._names()

    def list(self) -> list[GallerySummary]:
        """Every gallery here, sorted by name.

        Raises:
            GalleryError: the place cannot be read.
        """
        if self._parsed.mode == "rw":
            self.get(DEFAULT_NAME)
        if self._parsed.scheme == "memory":
            return [_summary(self._open[name]) for name in sorted(self._open)]
        found = galleries_at(self._url(None))
        return [summary for summary in found if re.fullmatch(NAME_PATTERN[1:-1], summary.name)]

    def summary(self, name: str) -> GallerySummary:
        """What is known of one gallery.

        Raises:
            GalleryNotFound: there is none of that name.
            BadInput: no gallery can have that name.
            GalleryError: the place cannot be read.
        """
        checked_gallery_name(name)
        for summary in self.list():
            if summary.name == name:
                return summary
        raise _not_found(name)

    def create(self, name: str, options: GalleryOptions | None = None) -> Gallery:
        """Make a gallery.

        Args:
            name: its name.
            options: how it keeps what it holds; None for what the place's URL says. Whether it is encrypted is the
                place's to say.

        Raises:
            GalleryExists: there is one of that name.
            BadInput: no gallery can have that name, or none here those options.
            GalleryError: it cannot be made.
        """
        checked_gallery_name(name)
        with self._lock:
            if self._is_there(name):
                raise GalleryExists(f"there is a gallery {name!r} already")
            stored = self._given if options is None else self._options(options)
            try:
                made = open_gallery(self._url(name, stored))
            except BadGallery as error:
                if not self._is_there(name):
                    raise BadInput(error.message) from error  # options that this kind of place does not have
                raise GalleryExists(f"there is a gallery {name!r} already") from error  # since a moment ago
            self._open[name] = made
            return made

    def remove(self, name: str) -> int:
        """Erase a gallery with all its templates; how many there were.

        Raises:
            GalleryNotFound: there is none of that name.
            BadInput: no gallery can have that name.
            GalleryError: it cannot be erased.
        """
        checked_gallery_name(name)
        with self._lock:
            kept = self._open.get(name)
            if self._parsed.scheme == "memory":
                if kept is None:
                    raise _not_found(name)
                count = len(kept)
            else:
                try:
                    count = remove_gallery(self._url(name))
                except GalleryNotFound as error:
                    raise _not_found(name) from error
                finally:
                    self._open.pop(name, None)
            self._open.pop(name, None)
            if kept is not None:
                kept.close()
            return count

    def close(self) -> None:
        """Close every gallery; what is then asked for is opened anew."""
        with self._lock:
            for gallery in self._open.values():
                gallery.close()
            self._open.clear()

    def _opened(self, name: str) -> Gallery:
        is_memory = self._parsed.scheme == "memory"
        try:
            if not is_memory:
                return open_gallery(self._url(name), create=False)
        except GalleryNotFound as error:
            if name != DEFAULT_NAME:
                raise _not_found(name) from error
        if name != DEFAULT_NAME or self._parsed.mode == "ro":
            raise _not_found(name)
        self._make_folder()
        return open_gallery(self._url(name, self._given))

    def _is_there(self, name: str) -> bool:
        return name in self._open if self._parsed.scheme == "memory" else name in self._names()

    def _names(self) -> set[str]:
        """The names of the galleries here; none where the place has yet to be made."""
        try:
            return {summary.name for summary in galleries_at(self._url(None))}
        except GalleryNotFound:
            self._make_folder()
            return set()

    def _make_folder(self) -> None:
        if self._parsed.scheme == "sqlite" and self._parsed.mode == "rw":
            folder = Path(self._parsed.path).parent
            try:
                folder.mkdir(0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise GalleryError(f"{folder}: the galleries' folder cannot be made: {error.strerror}") from error

    def _forget(self, name: str, gallery: Gallery) -> None:
        """Close a gallery that another process has erased."""
        with self._lock:
            if self._open.get(name) is gallery:
                del self._open[name]
        gallery.close()

    def _options(self, options: GalleryOptions) -> dict[str, str]:
        chosen = {
            "codec": options.codec,
            "fusion": options.fusion,
            "portraits": "yes" if options.portraits else "no",
        }
        # A place in memory has no audit log; who asks for more than the default is told so.
        if self._parsed.scheme != "memory" or options.audit == "all":
            chosen["audit"] = options.audit
        for name, days in (("audit_days", options.audit_days), ("retention_days", options.retention_days)):
            if days is not None:
                chosen[name] = f"{days!r}"
        return {**chosen, **{key: value for key, value in self._given.items() if key == "encrypted"}}

    def _url(self, name: str | None, stored: dict[str, str] | None = None) -> str:
        options = [*self._opening, *(f"{key}={value}" for key, value in (stored or {}).items())]
        if name is not None:
            options.append(f"name={quote(name)}")
        return f"{self._place}?{'&'.join(options)}" if options else self._place


def _not_found(name: str) -> GalleryNotFound:
    return GalleryNotFound(f"there is no gallery {name!r}")


def _summary(gallery: Gallery) -> GallerySummary:
    """What is known of a gallery in memory, whose place keeps no list."""
    listed = gallery.identities()
    dimension = gallery.templates(listed[0][0])[1].dimension if listed else None
    portraits = 0
    if gallery.options.portraits:
        ids = [number for name, _ in listed for number in gallery.templates(name)[0]]
        portraits = sum(gallery.portrait(number) is not None for number in ids)
    count = sum(number for _, number in listed)
    return GallerySummary(
        gallery.name, gallery.space, dimension, gallery.options, len(listed), count, 0, portraits, None
    )
