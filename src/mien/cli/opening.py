"""Galleries, opened for a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.errors import SpaceMismatch

if TYPE_CHECKING:
    from mien.galleries import Gallery
    from mien.recognizer import Recognizer

__all__ = ["open_for"]


def open_for(recognizer: Recognizer, url: str, *, create: bool) -> Gallery:
    """The gallery at ``url``, if the recognizer's templates belong there; checked before any image is looked at.

    Raises:
        SpaceMismatch: the gallery holds templates of another space.
        BadGallery: there is no gallery at ``url``, or ``url`` is none.
        GalleryLocked: another process holds it.
        GalleryError: it cannot be read or made.
    """
    from mien.galleries import open_gallery

    gallery = open_gallery(url, create=create)
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
