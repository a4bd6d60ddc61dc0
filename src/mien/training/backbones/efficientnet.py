"""EfficientNet-B0 and B1, for images of 112 pixels.

Tan, Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (ICML 2019), table 1. Made for 224
pixels and more; here the first convolution keeps the size (stride 1), so that the last maps have 7×7 cells as there,
and the depthwise head of MobileFaceNet follows the last convolution. Stochastic depth is left out.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from mien.training.backbones.excitation import Excitation
from mien.training.backbones.layers import DepthwiseHead, conv_norm, initialize
from mien.training.backbones.network import Backbone

__all__ = ["DEPTHS", "efficientnet"]

DEPTHS = {"efficientnet-b0": 1.0, "efficientnet-b1": 1.1}
"""Factor of the blocks in a row, by network; the widths of the two are the same."""

_SIZE = 112
_STEM, _LAST = 32, 1280
# Table 1, grouped by the maps' size: (expansion, kernel, channels, blocks, stride of the first block).
_STAGES = (
    ((1, 3, 16, 1, 1), (6, 3, 24, 2, 2)),
    ((6, 5, 40, 2, 2),),
    ((6, 3, 80, 3, 2), (6, 5, 112, 3, 1)),
    ((6, 5, 192, 4, 2), (6, 3, 320, 1, 1)),
)


class _Block(nn.Module):
    """Widen, convolve each channel by itself, weigh the channels, narrow; beside a shortcut where the size stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [] if expansion == 1 else [*conv_norm(inputs, wide), nn.SiLU()]
        self.path = nn.Sequential(
            *widen,
            *conv_norm(wide, wide, kernel, stride=stride, groups=wide),
            nn.SiLU(),
            Excitation(wide, max(1, inputs // 4), nn.SiLU(), nn.Sigmoid()),
            *conv_norm(wide, outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.path(maps)
        return maps + found if self.adds else found


def efficientnet(name: str, dimension: int, dropout: float) -> Backbone:
    """One of the EfficientNets, with random weights.

    Args:
        name: a key of ``DEPTHS``.
        dimension: numbers in a feature vector.
        dropout: before the last linear layer.
    """
    body: list[nn.Module] = []
    inputs = _STEM
    for lines in _STAGES:
        stage: list[nn.Module] = [] if body else [*conv_norm(3, _STEM, 3), nn.SiLU()]
        for expansion, kernel, outputs, blocks, stride in lines:
            for block in range(math.ceil(blocks * DEPTHS[name])):
                stage.append(_Block(inputs, outputs, expansion, kernel, 1 if block else stride))
                inputs = outputs
        body.append(nn.Sequential(*stage))
    last = nn.Sequential(*conv_norm(inputs, _LAST), nn.SiLU())
    head = nn.Sequential(last, DepthwiseHead(_LAST, _SIZE >> len(body), dimension, dropout))
    network = Backbone(name, _SIZE, dimension, body, head)
    initialize(network)
    return network
