"""Images: anything that holds a picture, decoded to ``uint8 (H, W, 3)`` RGB, upright.

``open_image`` gives a ``Picture``, whose header is read and whose pixels are decoded when asked for; ``load`` does
both. ``split_batch`` tells one image from many.

Where is what: ``sources`` takes paths, bytes, file objects, Pillow images, arrays and tensors apart; ``headers`` reads
sizes and finds truncation before anything is decoded; ``decoding`` chooses between OpenCV and ``pillow``; ``arrays``
says which arrays are images; ``orientation`` is EXIF's; ``batches`` is ``split_batch``.
"""

from __future__ import annotations

from mien.images.batches import split_batch
from mien.images.picture import Picture
from mien.images.sources import MAX_PIXELS, Color, ImageSource, load, open_image

__all__ = ["MAX_PIXELS", "Color", "ImageSource", "Picture", "load", "open_image", "split_batch"]
