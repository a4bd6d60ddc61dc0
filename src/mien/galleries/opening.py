"""Opening a gallery by its URL."""

from __future__ import annotations

from mien.galleries.memory import MemoryGallery
from mien.galleries.protocol import Gallery
from mien.galleries.sqlite import SqliteGallery
from mien.galleries.urls import parse_url

__all__ = ["open_gallery"]


def open_gallery(url: str, *, create: bool = True) -> Gallery:
    """Open a gallery; close it, or use it as a context manager.

    Args:
        url: ``memory:`` (new and empty each time), ``sqlite:///people.db`` (relative to the working directory) or
            ``sqlite:////srv/people.db`` (absolute). Options: ``?name=staff`` chooses one of several galleries in
            a file; for SQLite ``mode=ro`` forbids changes and ``timeout_s=10`` sets how long to wait for another
            process that is writing (5 s).
        create: make the gallery where there is none; False for callers that only search, which then learn of
            a mistyped path instead of searching an empty gallery.

    Raises:
        BadGallery: not a gallery URL, no gallery there (with ``create=False``), or a file that is none.
        GalleryLocked: another process holds the file for longer than the time-out.
        GalleryError: the file cannot be read or made.
    """
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        return MemoryGallery(parsed.url, parsed.name)
    return SqliteGallery(parsed, create)
