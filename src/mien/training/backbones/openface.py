"""OpenFace's networks for images of 96 pixels: nn4.small2, nn4.small1, nn4 and nn2.

Amos, Ludwiczuk, Satyanarayanan, OpenFace: A General-Purpose Face Recognition Library with Mobile Applications (2016),
and the definitions in its repository (``models/openface/*.def.lua``), which follow NN4 and NN2 of Schroff and others,
FaceNet (2015). Its networks end in a plain linear layer; theirs normalize what leaves it, which losses here do.
nn2, made there for 224 pixels, takes 96 here: the mean over the last maps is that of 3×3 cells, in place of 7×7.
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.training.backbones.inception import Inception, LocalNorm, Module, Pool, convolved
from mien.training.backbones.layers import exact, in_float32, initialize
from mien.training.backbones.network import Backbone

__all__ = ["MODULES", "openface"]

_SIZE = 96
_STEM = 192


def _wide(pool: Pool, small: tuple[int, int], large: tuple[int, int], projected: int, direct: int) -> Module:
    """A module of 3×3 and 5×5 convolutions that keeps the maps' size."""
    return Module(((3, *small), (5, *large)), pool, projected, direct)


def _halving(pool: Pool, small: tuple[int, int], large: tuple[int, int]) -> Module:
    """A module of 3×3 and 5×5 convolutions that halves the maps."""
    return Module(((3, *small), (5, *large)), pool, None, None, stride=2)


def _last(pool: Pool, reduced: int, projected: int, direct: int) -> Module:
    """A module of 3×3 convolutions alone."""
    return Module(((3, reduced, 384),), pool, projected, direct)


_HALVED, _THIRD = Pool("max", 2), Pool("l2", 3)
_KEPT, _DENSE, _EVEN = Pool("max", 1, 1), Pool("l2", 1), Pool("max", 2, 1)

_THREES = (
    _wide(_HALVED, (96, 128), (16, 32), 32, 64),
    _wide(_THIRD, (96, 128), (32, 64), 64, 64),
)
_FOURS = (
    _halving(_HALVED, (128, 256), (32, 64)),
    _wide(_THIRD, (96, 192), (32, 64), 128, 256),
    _wide(_THIRD, (112, 224), (32, 64), 128, 224),
    _wide(_THIRD, (128, 256), (32, 64), 128, 192),
    _wide(_THIRD, (144, 288), (32, 64), 128, 160),
)
_FIVES = _halving(_HALVED, (160, 256), (64, 128))

Stages = tuple[tuple[Module, ...], tuple[Module, ...], tuple[Module, ...]]
MODULES: dict[str, Stages] = {
    "nn4.small2": (_THREES, _FOURS[:2], (_FIVES, _last(_THIRD, 96, 96, 256), _last(_HALVED, 96, 96, 256))),
    "nn4.small1": (
        (
            _wide(_KEPT, (96, 128), (16, 32), 32, 64),
            _wide(_DENSE, (96, 128), (32, 64), 64, 64),
        ),
        (
            _halving(_EVEN, (128, 256), (32, 64)),
            _wide(_DENSE, (96, 192), (32, 64), 128, 256),
            _wide(_DENSE, (112, 224), (32, 64), 128, 224),
        ),
        (_halving(_EVEN, (160, 256), (64, 128)), _last(_DENSE, 192, 128, 384), _last(_KEPT, 192, 128, 384)),
    ),
    "nn4": (_THREES, _FOURS, (_FIVES, _last(_THIRD, 192, 128, 384), _last(_HALVED, 192, 128, 384))),
    "nn2": (
        _THREES,
        _FOURS,
        (
            _FIVES,
            _wide(_THIRD, (192, 384), (48, 128), 128, 384),
            _wide(_HALVED, (192, 384), (48, 128), 128, 384),
        ),
    ),
}
"""The inception modules of each network: 3a and 3b; 3c and 4a to 4d as far as there; 4e, 5a and 5b."""


class _Head(nn.Module):
    """The mean of each map, dropout, a linear layer in float32."""

    def __init__(self, channels: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, dimension)

    def forward(self, maps: Tensor) -> Tensor:
        with in_float32(maps):
            features: Tensor = self.linear(self.dropout(exact(maps).mean(dim=(2, 3))))
            return features


def openface(name: str, dimension: int, dropout: float) -> Backbone:
    """One of OpenFace's networks, with random weights.

    Args:
        name: a key of ``MODULES``.
        dimension: numbers in a feature vector; 128 there.
        dropout: before the linear layer; 0 there.
    """
    stem = nn.Sequential(
        *convolved(3, 64, 7, stride=2),
        nn.MaxPool2d(3, 2, 1),
        LocalNorm(64, _SIZE // 4),
        *convolved(64, 64, 1),
        *convolved(64, _STEM, 3),
        LocalNorm(_STEM, _SIZE // 4),
    )
    body: list[nn.Module] = [stem]
    inputs, side = _STEM, _SIZE // 8
    for modules in MODULES[name]:
        stage: list[nn.Module] = [nn.MaxPool2d(3, 2, 1)] if len(body) == 1 else []
        for module in modules:
            stage.append(Inception(inputs, module, side))
            inputs, side = module.channels(inputs), side // module.stride
        body.append(nn.Sequential(*stage))
    network = Backbone(name, _SIZE, dimension, body, _Head(inputs, dimension, dropout))
    initialize(network)
    return network
