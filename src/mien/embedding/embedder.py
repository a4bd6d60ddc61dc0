"""Embedding networks: chips in, unit vectors of one space out, whatever the batch."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from mien.errors import BadCard, BadInput
from mien.runtimes import Network
from mien.types import FloatArray, ImageArray, Templates
from mien.zoo import Card

__all__ = ["CardEmbedder", "Embedder", "NetworkEmbedder", "make_embedder", "require_chips", "space_of"]

_CHIPS_A_CALL = 8
_FLIP = "+flip"


class Embedder(Protocol):
    """Turns chips into templates. Safe to call from many threads at once."""

    @property
    def space(self) -> str:
        """The embedding space of its templates."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a template."""
        ...

    @property
    def chip_size(self) -> int:
        """Side in pixels of the chips it takes."""
        ...

    @property
    def reference(self) -> FloatArray:
        """``(5, 2)`` where the landmarks lie in its chips."""
        ...

    @property
    def threshold(self) -> float:
        """The score from which its templates count as of one person, unless the caller says otherwise."""
        ...

    def embed(self, chips: ImageArray) -> Templates:
        """Templates of ``(n, S, S, 3) uint8`` RGB chips, in their order.

        Raises:
            BadInput: the chips have another shape or type.
        """
        ...


class CardEmbedder:
    """What embedders have in common whose facts stand in a model card.

    Args:
        card: a card whose task is ``embedder``.
        flip: whether templates are those of the chip and its mirror image together.

    Raises:
        BadCard: the card is another's.
    """

    def __init__(self, card: Card, flip: bool) -> None:
        if card.embedding is None or card.input.size is None:
            raise BadCard(f"{card.name}: expected an embedder, got a {card.task}")
        self._card, self._facts, self._size, self._flip = card, card.embedding, card.input.size, flip

    @property
    def space(self) -> str:
        """See ``Embedder.space``."""
        return space_of(self._card, self._flip)

    @property
    def dimension(self) -> int:
        """See ``Embedder.dimension``."""
        return self._facts.dimension

    @property
    def chip_size(self) -> int:
        """See ``Embedder.chip_size``."""
        return self._size

    @property
    def reference(self) -> FloatArray:
        """See ``Embedder.reference``."""
        return np.asarray(self._facts.points, dtype=np.float32)

    @property
    def threshold(self) -> float:
        """See ``Embedder.threshold``."""
        return self._facts.threshold


class NetworkEmbedder(CardEmbedder):
    """An embedder made of a network and its card.

    Args:
        card: a card whose task is ``embedder``.
        network: the card's network, loaded or lazy.
        flip: add up the vectors of the chip and of its mirror image, at twice the time. Such templates
            are a space of their own, named with ``+flip``.
    """

    def __init__(self, card: Card, network: Network, *, flip: bool = False) -> None:
        super().__init__(card, flip)
        self._network = network

    def embed(self, chips: ImageArray) -> Templates:
        """See ``Embedder.embed``.

        Raises:
            BadInput: the chips have another shape or type.
            BadCard: the network's output is not what the card says.
        """
        require_chips(chips, self._size)
        raw = np.empty((len(chips), self.dimension), np.float32)
        for start in range(0, len(chips), _CHIPS_A_CALL):
            part = slice(start, start + _CHIPS_A_CALL)
            raw[part] = self._vectors(chips[part])
            if self._flip:
                raw[part] += self._vectors(chips[part, :, ::-1])
        return Templates.normalized(raw, self.space)

    def _vectors(self, chips: ImageArray) -> FloatArray:
        facts = self._card.input
        blob = cv2.dnn.blobFromImages(
            [np.ascontiguousarray(c) for c in chips], facts.scale, mean=facts.mean, swapRB=facts.color == "bgr"
        )
        outputs = self._network.run(np.asarray(blob, dtype=np.float32))
        if len(outputs) != 1 or len(outputs[0]) != len(chips) or outputs[0].size != len(chips) * self.dimension:
            shapes = [o.shape for o in outputs]
            raise BadCard(f"{self._card.name}: expected one output (n, {self.dimension}), got {shapes}")
        return outputs[0].reshape(len(chips), -1)


def space_of(card: Card, flip: bool) -> str:
    """The space of a card's templates; those of chip and mirror image together are one of their own."""
    name, _, weights = card.space.partition("@")
    return f"{name}{_FLIP if flip else ''}@{weights}"


def require_chips(chips: ImageArray, size: int) -> None:
    """Check that ``chips`` are ``(n, size, size, 3) uint8``.

    Raises:
        BadInput: they are not.
    """
    if not isinstance(chips, np.ndarray):
        raise BadInput(f"expected an array of aligned chips, got {type(chips).__name__}; images are for analyze")
    if chips.dtype != np.uint8 or chips.ndim != 4 or chips.shape[1:] != (size, size, 3):
        raise BadInput(f"expected chips uint8 (n, {size}, {size}, 3), got {chips.dtype} {chips.shape}")


def make_embedder(card: Card, network: Network, *, flip: bool = False) -> NetworkEmbedder:
    """The embedder of a card; see ``NetworkEmbedder`` for what the arguments mean.

    Raises:
        BadCard: the card is no embedder's.
    """
    return NetworkEmbedder(card, network, flip=flip)
