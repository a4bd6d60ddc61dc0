"""Images as they are sent: files as they are, pixels as PNG, which loses nothing."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, field
from typing import cast

from PIL import Image

from mien.errors import BadImage
from mien.images import ImageSource, load
from mien.images.sources import Color

__all__ = ["Sent", "to_send"]

_MOST_BYTES = 1 << 30
_QUICK = 1


@dataclass(frozen=True, slots=True)
class Sent:
    """An image as it is sent.

    Attributes:
        content: the bytes of an image file.
        name: what errors call it here: its path; None where it has none. It is not sent.
    """

    content: bytes = field(repr=False)
    name: str | None = None


def to_send(source: ImageSource, color: Color = "rgb") -> Sent:
    """The bytes of one image, whatever it is given as; files are not looked into, the server judges them.

    Args:
        source: what ``mien.images.open_image`` takes.
        color: the order of the channels of an array or tensor.

    Raises:
        BadImage: the file cannot be read, or the object is no image.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.fsdecode(source)
        name = path if path.isprintable() and path else repr(path)
        return Sent(_read(path, name), name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Sent(bytes(source))
    if hasattr(source, "read"):
        found = cast("object", source.read())
        if not isinstance(found, bytes):
            kind = type(found).__name__
            raise BadImage(f"file object: expected bytes from read(), got {kind}; open it in binary mode")
        own = getattr(source, "name", None)
        return Sent(found, own if isinstance(own, str) else None)
    # Pixels are brought to upright RGB here, as the library does it.
    encoded = io.BytesIO()
    Image.fromarray(load(source, color=color)).save(encoded, "PNG", compress_level=_QUICK)
    return Sent(encoded.getvalue())


def _read(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadImage(f"{name}: expected an image file, got a device or a pipe")
            found = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        if os.path.isdir(path):
            raise BadImage(f"{name}: expected an image file, got a folder") from error
        reason = error.strerror if isinstance(error, OSError) else None
        raise BadImage(f"{name}: {reason.lower() if reason else error}") from error
    if len(found) > _MOST_BYTES:
        raise BadImage(f"{name}: expected an image, got a file of more than {_MOST_BYTES:,} bytes")
    return found
