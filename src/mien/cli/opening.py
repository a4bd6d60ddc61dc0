"""Galleries, opened for a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from mien.cli.new_gallery import NewGallery
from mien.cli.servers import named_gallery
from mien.errors import BadGallery, GalleryError, SpaceMismatch

if TYPE_CHECKING:
    from mien.client import RemoteRecognizer
    from mien.galleries import Gallery, Searchable
    from mien.recognizer import Recognizer

__all__ = ["is_there", "open_all_for", "open_for", "open_to_enroll"]


def open_for(recognizer: Recognizer | RemoteRecognizer, url: str) -> Gallery:
    """The gallery at ``url``, if the recognizer's templates belong there; checked before any image is looked at.

    Where the recognizer is a server's, ``url`` is the name of a gallery there.

    Raises:
        typer.BadParameter: no gallery of a server can have that name.
        SpaceMismatch: the gallery holds templates of another space.
        BadGallery: there is no gallery at ``url``, or ``url`` is none.
        GalleryLocked: another process holds it.
        GalleryError: it cannot be read.
    """
    from mien.galleries import open_gallery
    from mien.recognizer import Recognizer

    if isinstance(recognizer, Recognizer):
        gallery = open_gallery(url, create=False)
    else:
        gallery = named_gallery(recognizer.client, url)
    try:
        if gallery.space not in (None, recognizer.space):
            raise SpaceMismatch(
                f"{gallery.url} holds templates of {gallery.space}, and these settings make templates of "
                f"{recognizer.space}; choose the gallery's embedder with --embedder (and --flip), or another gallery"
            )
    except BaseException:
        gallery.close()
        raise
    return gallery


@contextmanager
def open_all_for(
    recognizer: Recognizer | RemoteRecognizer, urls: Sequence[str]
) -> Iterator[tuple[Searchable, list[Gallery]]]:
    """What is to be searched, and the galleries in it, closed at the end of the block; errors as for ``open_for``."""
    from mien.galleries import GalleryGroup

    with ExitStack() as stack:
        galleries = [stack.enter_context(open_for(recognizer, url)) for url in urls]
        yield (galleries[0] if len(galleries) == 1 else GalleryGroup(galleries)), galleries


def open_to_enroll(recognizer: Recognizer | RemoteRecognizer, url: str) -> Gallery:
    """The gallery at ``url``; where there is none, one that is made with the first templates that are stored.

    On a server it must be there.

    Raises:
        SpaceMismatch: the gallery holds templates of another space.
        BadGallery: ``url`` is none, or what is there is no gallery, or its folder does not exist.
        GalleryLocked: another process holds it.
        GalleryError: it cannot be read or changed.
    """
    from mien.galleries import parse_url, require_free
    from mien.recognizer import Recognizer

    if not isinstance(recognizer, Recognizer):
        return open_for(recognizer, url)
    parsed = parse_url(url)
    if parsed.mode == "ro":
        raise GalleryError(
            f"expected a gallery to enroll in, got one that may not be changed (mode=ro): {parsed.shown}"
        )
    try:
        return open_for(recognizer, url)
    except BadGallery:
        if is_there(url, parsed.name):
            # It was made with other options than the URL's, or it is damaged.
            raise
        require_free(parsed)
        return NewGallery(parsed)


def is_there(url: str, name: str) -> bool:
    """Whether the place that a URL names has a gallery of that name."""
    from mien.galleries import galleries_at

    try:
        return any(summary.name == name for summary in galleries_at(url))
    except BadGallery:
        # Nothing is there yet, or something else: making a gallery tells which.
        return False
