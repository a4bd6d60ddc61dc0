"""A picture: an image that is known by its header and decoded when asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mien.errors import BadInput
from mien.types import ImageArray

__all__ = ["Picture"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image that is decoded when its pixels are asked for; safe to use from many threads.

    It holds the encoded bytes, not the pixels. ``mien.images.open_image`` makes it.

    Attributes:
        size_wh: width and height in pixels of the original, EXIF orientation applied.
        reductions: the factors that ``pixels`` takes: ``(1, 2, 4, 8)`` for JPEG, less those that do not divide the
            sides of one to be turned upright; ``(1,)`` for everything else.
        name: the path, if it came from one.
    """

    size_wh: tuple[int, int]
    reductions: tuple[int, ...]
    name: str | None
    _decode: Callable[[int], ImageArray] = field(repr=False)

    def pixels(self, reduction: int = 1) -> ImageArray:
        """Decode now; nothing is kept for the next call.

        Args:
            reduction: one of ``reductions``; pixel (x, y) of the result covers the block of ``reduction``² pixels
                that begins at (reduction · x, reduction · y) of the image as it is stored.

        Returns:
            ``uint8 (ceil(H / reduction), ceil(W / reduction), 3)`` RGB, contiguous. For an RGB array handed in it is
            a read-only view of that array; otherwise it belongs to the caller.

        Raises:
            BadInput: ``reduction`` is not one of ``reductions``.
            BadImage: the data is truncated or damaged.
        """
        if reduction not in self.reductions:
            raise BadInput(f"reduction: expected one of {self.reductions}, got {reduction!r}")
        return self._decode(reduction)
