"""GhostNet, 1.3 times as wide as its authors' plain one, for images of 112 pixels.

Han, Wang, Tian, Guo, Xu, Xu, GhostNet: More Features from Cheap Operations (CVPR 2020), table 1 and its code: half of a
layer's maps come from a convolution, the other half from those by a cheap one, each map by itself. Made for 224 pixels;
here the first convolution keeps the size (stride 1), so that the last maps have 7×7 cells as there, and the depthwise
head of MobileFaceNet follows the last convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.training.backbones.excitation import Excitation, divisible
from mien.training.backbones.layers import DepthwiseHead, conv_norm, initialize
from mien.training.backbones.network import Backbone

__all__ = ["WIDTHS", "ghostnet"]

WIDTHS = {"ghostnet130": 1.3}
"""Factor of all channels, by network."""

_SIZE = 112
_STEM, _LAST = 16, 960
_BY = 4
# Table 1, grouped by the maps' size: (kernel, channels between, channels out, excitation, stride).
_STAGES = (
    ((3, 16, 16, False, 1), (3, 48, 24, False, 2), (3, 72, 24, False, 1)),
    ((5, 72, 40, True, 2), (5, 120, 40, True, 1)),
    (
        (3, 240, 80, False, 2),
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    (
        (5, 672, 160, True, 2),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    ),
)


class _Ghost(nn.Module):
    """Half of the maps, whose number is even, by a 1×1 convolution, the others from these by a 3×3 one each."""

    def __init__(self, inputs: int, outputs: int, *, active: bool) -> None:
        super().__init__()
        own = outputs // 2
        self.own = nn.Sequential(*conv_norm(inputs, own), *([nn.ReLU()] if active else []))
        self.cheap = nn.Sequential(*conv_norm(own, own, 3, groups=own), *([nn.ReLU()] if active else []))

    def forward(self, maps: Tensor) -> Tensor:
        own = self.own(maps)
        return torch.cat([own, self.cheap(own)], dim=1)


class _Block(nn.Module):
    """Two ghost layers, with the stride and the excitation between them, beside a shortcut."""

    def __init__(self, inputs: int, wide: int, outputs: int, kernel: int, stride: int, *, excited: bool) -> None:
        super().__init__()
        path: list[nn.Module] = [_Ghost(inputs, wide, active=True)]
        if stride > 1:
            path += conv_norm(wide, wide, kernel, stride=stride, groups=wide)
        if excited:
            path.append(Excitation(wide, divisible(wide / 4, _BY), nn.ReLU(), nn.Hardsigmoid()))
        path.append(_Ghost(wide, outputs, active=False))
        self.path = nn.Sequential(*path)
        same = stride == 1 and inputs == outputs
        around = [*conv_norm(inputs, inputs, kernel, stride=stride, groups=inputs), *conv_norm(inputs, outputs)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*around)

    def forward(self, maps: Tensor) -> Tensor:
        features: Tensor = self.path(maps) + self.shortcut(maps)
        return features


def ghostnet(name: str, dimension: int, dropout: float) -> Backbone:
    """A GhostNet with random weights.

    Args:
        name: a key of ``WIDTHS``.
        dimension: numbers in a feature vector.
        dropout: before the last linear layer.
    """

    def widened(channels: int) -> int:
        return divisible(channels * WIDTHS[name], _BY)

    body: list[nn.Module] = []
    inputs = widened(_STEM)
    for lines in _STAGES:
        stage: list[nn.Module] = [] if body else [*conv_norm(3, inputs, 3), nn.ReLU()]
        for kernel, wide, outputs, excited, stride in lines:
            stage.append(_Block(inputs, widened(wide), widened(outputs), kernel, stride, excited=excited))
            inputs = widened(outputs)
        body.append(nn.Sequential(*stage))
    last = nn.Sequential(*conv_norm(inputs, widened(_LAST)), nn.ReLU())
    head = nn.Sequential(last, DepthwiseHead(widened(_LAST), _SIZE >> len(body), dimension, dropout))
    network = Backbone(name, _SIZE, dimension, body, head)
    initialize(network)
    return network
