"""Galleries, opened for a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mien.cli.new_gallery import NewGallery
from mien.errors import BadGallery, GalleryError, SpaceMismatch

if TYPE_CHECKING:
    from mien.galleries import Gallery, GalleryUrl
    from mien.recognizer import Recognizer

__all__ = ["open_for", "open_to_enroll"]


def open_for(recognizer: Recognizer, url: str) -> Gallery:
    """The gallery at ``url``, if the recognizer's templates belong there; checked before any image is looked at.

    Raises:
        SpaceMismatch: the gallery holds templates of another space.
        BadGallery: there is no gallery at ``url``, or ``url`` is none.
        GalleryLocked: another process holds it.
        GalleryError: it cannot be read.
    """
    from mien.galleries import open_gallery

    gallery = open_gallery(url, create=False)
    try:
        if gallery.space not in (None, recognizer.space):
            raise SpaceMismatch(
                f"{url} holds templates of {gallery.space}, and these settings make templates of {recognizer.space}; "
                "choose the gallery's embedder with --embedder (and --flip), or another gallery"
            )
    except BaseException:
        gallery.close()
        raise
    return gallery


def open_to_enroll(recognizer: Recognizer, url: str) -> Gallery:
    """The gallery at ``url``; where there is none, one that is made with the first templates that are stored.

    Raises:
        SpaceMismatch: the gallery holds templates of another space.
        BadGallery: ``url`` is none, or what is there is no gallery, or its folder does not exist.
        GalleryLocked: another process holds it.
        GalleryError: it cannot be read or changed.
    """
    from mien.galleries import parse_url

    parsed = parse_url(url)
    if parsed.mode == "ro":
        raise GalleryError(f"expected a gallery to enroll in, got one that may not be changed (mode=ro): {url}")
    try:
        return open_for(recognizer, url)
    except BadGallery:
        _require_free(parsed)
        return NewGallery(url, parsed.name)


def _require_free(url: GalleryUrl) -> None:
    """Check that a gallery can be made: there is no file, an empty one, or one without a gallery of this name.

    Raises:
        BadGallery: there is something else, or the folder does not exist.
        GalleryError: the folder cannot be written.
    """
    from mien.galleries.sqlite_file import GalleryFile

    path = os.path.abspath(url.path)
    folder = os.path.dirname(path)
    if not os.path.exists(path):
        if not os.path.isdir(folder):
            raise BadGallery(f"{path}: the folder {folder} does not exist")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise GalleryError(f"{path}: cannot be made: no permission to write in {folder}")
    elif not os.path.isfile(path) or os.path.getsize(path):
        GalleryFile(url, create=False)
