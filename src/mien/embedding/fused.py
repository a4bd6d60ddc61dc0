"""An embedder made of several: their templates, weighted, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mien.embedding.embedder import CardEmbedder, Embedder, require_chips
from mien.errors import BadCard
from mien.geometry import similarity_transforms
from mien.types import FloatArray, ImageArray, Templates
from mien.zoo import Card

__all__ = ["FusedEmbedder"]

_STILL = 1e-3
"""A map that moves no chip corner by more than this many pixels off whole numbers is taken for a plain crop."""


class FusedEmbedder(CardEmbedder):
    """Cuts each part's chip out of one common chip, embeds it, and joins the templates.

    The score of two templates is the weighted mean of the parts' scores: see ``mien.zoo.fuse``.

    Args:
        card: a fused card.
        parts: its parts' embedders, in the card's order.
        flip: whether the parts were made to add up the chip and its mirror image; it is part of the space's name.

    Raises:
        BadCard: the card is no fused one, or the parts are not its own.
    """

    def __init__(self, card: Card, parts: Sequence[Embedder], *, flip: bool = False) -> None:
        super().__init__(card, flip)
        if not card.parts:
            raise BadCard(f"{card.name}: expected a fused embedder, got family {card.family}")
        dimension = sum(part.dimension for part in parts)
        if len(parts) != len(card.parts) or dimension != self.dimension:
            raise BadCard(
                f"{card.name}: expected {len(card.parts)} parts of {self.dimension} numbers together, "
                f"got {len(parts)} of {dimension}"
            )
        self._parts = tuple(parts)
        self._factors = [float(np.sqrt(part.weight)) for part in card.parts]
        points = self.reference[None]
        self._matrices = [similarity_transforms(points, part.reference)[0] for part in parts]

    def embed(self, chips: ImageArray) -> Templates:
        """See ``Embedder.embed``.

        Raises:
            BadInput: the chips have another shape or type.
        """
        require_chips(chips, self._size)
        joined = [
            factor * part.embed(_cut(chips, matrix, part.chip_size)).vectors
            for part, factor, matrix in zip(self._parts, self._factors, self._matrices, strict=True)
        ]
        return Templates.normalized(np.concatenate(joined, axis=1), self.space)


def _cut(chips: ImageArray, matrix: FloatArray, size: int) -> ImageArray:
    """``(n, size, size, 3)``: a smaller chip out of each chip; what a plain crop can give is not drawn anew."""
    shift = np.rint(-matrix[:, 2]).astype(int)
    plain = np.concatenate([np.eye(2), -shift[:, None]], axis=1)
    if np.abs((matrix - plain) @ np.array([size, size, 1.0])).max() < _STILL:
        left, top = shift
        return np.ascontiguousarray(chips[:, top : top + size, left : left + size])
    cut = np.empty((len(chips), size, size, 3), np.uint8)
    for chip, target in zip(chips, cut, strict=True):
        cv2.warpAffine(chip, matrix, (size, size), dst=target, flags=cv2.INTER_LINEAR)
    return cut
