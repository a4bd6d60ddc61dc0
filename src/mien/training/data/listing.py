"""What can be packed: a list of images with names and people, whatever it is read from."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mien.errors import BadImage

__all__ = ["Listing", "Photo", "plain_text", "read_photo", "same_list"]


@dataclass(frozen=True, slots=True)
class Photo:
    """An image that was read.

    Attributes:
        name: where it came from.
        identity: whom it shows; empty for nobody in particular.
        data: its encoded bytes.
        landmarks: x0, y0, … x4, y4 in its pixels, where they are known.
        license: its terms, where they are known.
    """

    name: str
    identity: str
    data: bytes
    landmarks: tuple[float, ...] | None = None
    license: str | None = None


class Listing(Protocol):
    """Images in a fixed order, read one by one; can be sent to another process."""

    @property
    def source(self) -> str:
        """What it was read from."""
        ...

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """What messages call an image, known before it is read."""
        ...

    def identity(self, number: int) -> str:
        """Whom an image shows, as far as is known before it is read."""
        ...

    def load(self, number: int) -> Photo:
        """Read an image.

        Raises:
            BadImage: it cannot be read.
            BadPack: it is in a file that is damaged there.
            BadInput: it cannot be taken for what it is.
        """
        ...


def same_list(listing: Listing) -> str:
    """A text that is the same for the same images in the same order."""
    digest = hashlib.blake2b(digest_size=16)
    for number in range(len(listing)):
        digest.update(f"{listing.identity(number)}\0{listing.name(number)}\0".encode())
    return f"{len(listing)} images {digest.hexdigest()}"


def read_photo(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        BadImage: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise BadImage(f"{path}: {error}") from error


def plain_text(text: str) -> str:
    """A name as it is stored: Unicode's composed form, bytes that are no text as escapes."""
    return unicodedata.normalize("NFC", text.encode("utf-8", "backslashreplace").decode("utf-8"))
