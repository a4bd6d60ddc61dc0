"""Portraits: what a gallery may keep of a face, so that another model can embed it when the photo is gone.

A portrait is cut as a chip is, by one similarity transform from the original pixels, but it is wider and finer than
any model's chip. Its five landmarks go with it, so each model's own alignment finds its chip inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mien.alignment import chip_matrices, cut_chips
from mien.embedding import Embedder
from mien.errors import BadInput
from mien.galleries import Portraits
from mien.geometry import apply_transforms
from mien.images import open_image
from mien.types import Faces, FloatArray, ImageArray, Templates

__all__ = ["PORTRAIT_SIZE", "chips_of", "embed_portraits", "portrait_matrices", "take_portraits"]

PORTRAIT_SIZE = 256
"""Side of a portrait in pixels."""

# Where ArcFace puts the landmarks in its chip of 112 pixels (Deng et al., CVPR 2019; the InsightFace project's
# reference points). The chip takes the middle 190 pixels of a portrait: finer than the 150 pixels of dlib's chip,
# which shows less of the head, with a margin for models that want to see more.
_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_SCALE, _MARGIN = 1.7, 33.0
# On 300 photos sface's templates of portraits have a mean cosine of 0.9981 to those of the photos (dlib-resnet:
# 0.9998). At quality 90 it is 0.9976, at 100, for more than twice the bytes, 0.9984: the rest is the second sampling's.
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def portrait_matrices(faces: Faces) -> FloatArray:
    """``(n, 2, 3) float32`` maps from the image's pixels to the portrait's."""
    return chip_matrices(faces, np.asarray(_ARCFACE, np.float32) * _SCALE + _MARGIN)


def take_portraits(image: ImageArray, faces: Faces, reduction: int = 1) -> Portraits:
    """Portraits of faces of one image. What lies outside the image is black.

    Args:
        image: uint8 RGB ``(H, W, 3)``, decoded at ``1/reduction`` of the original size.
        faces: with landmarks in the original's pixels.
        reduction: see ``image``.
    """
    matrices = portrait_matrices(faces)
    pictures = cut_chips(image, matrices, PORTRAIT_SIZE, reduction)
    return Portraits([_encoded(picture) for picture in pictures], apply_transforms(matrices, faces.landmarks))


def _encoded(picture: ImageArray) -> bytes:
    _, data = cv2.imencode(".jpg", picture[..., ::-1], _JPEG)
    return data.tobytes()


def chips_of(pictures: Sequence[bytes], landmarks: FloatArray, embedder: Embedder) -> ImageArray:
    """The chips that an embedder takes, cut out of portraits.

    Args:
        pictures: n JPEG files.
        landmarks: ``(n, 5, 2) float32`` in the portraits' pixels.
        embedder: whose chips.

    Returns:
        ``(n, S, S, 3) uint8`` RGB.

    Raises:
        BadInput: lengths differ.
        BadImage: a picture is damaged.
    """
    if landmarks.shape != (len(pictures), 5, 2):
        raise BadInput(f"landmarks: expected ({len(pictures)}, 5, 2), got {landmarks.shape}")
    size = embedder.chip_size
    count = len(pictures)
    faces = Faces(np.zeros((count, 4), np.float32), np.ones(count, np.float32), landmarks)
    matrices = chip_matrices(faces, embedder.reference)
    chips = [cut_chips(open_image(p).pixels(), matrices[k : k + 1], size) for k, p in enumerate(pictures)]
    return np.concatenate([*chips, np.empty((0, size, size, 3), np.uint8)])


def embed_portraits(pictures: Sequence[bytes], landmarks: FloatArray, embedder: Embedder) -> Templates:
    """The templates that an embedder makes of portraits; arguments and errors as for ``chips_of``."""
    return embedder.embed(chips_of(pictures, landmarks, embedder))
