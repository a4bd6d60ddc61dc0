"""One image or many: what a call was given decides whether it answers with one result or a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from typing import Any, cast

import numpy as np
from PIL import Image

from mien.images.arrays import is_tensor
from mien.images.picture import Picture
from mien.images.sources import ImageSource

__all__ = ["split_batch"]

_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike, Image.Image, Picture)


def split_batch(source: ImageSource | Iterable[ImageSource]) -> tuple[Iterable[ImageSource], bool]:
    """Tell a batch from one image; nothing is opened, and an iterator is not advanced.

    Args:
        source: one image, as ``open_image`` takes it; or a batch: a list, tuple, iterator, generator or other
            ordered iterable of them, or an array or tensor of four axes ``(N, H, W, C)``.

    Returns:
        The images and True for a batch, even of one or none; ``[source]`` and False for anything else, which
        ``open_image`` then accepts or refuses.
    """
    if isinstance(source, np.ndarray) or is_tensor(source):
        array = cast(Any, source)
        return (list(array), True) if array.ndim == 4 else ([array], False)
    # A file object iterates over its lines, a set has no order, a mapping would give its keys.
    if isinstance(source, (*_SINGLE, Set, Mapping)) or hasattr(source, "read"):
        return [cast(ImageSource, source)], False
    if isinstance(source, Iterable):
        return source, True
    return [source], False
