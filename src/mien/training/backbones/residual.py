"""IR-18, IR-34, IR-50 and IR-101: the residual networks of ArcFace, for images of 112 pixels.

Deng, Guo, Xue, Zafeiriou, ArcFace: Additive Angular Margin Loss for Deep Face Recognition (CVPR 2019), section 3.2 and
its code: a first convolution of stride 1, four stages that halve the maps, and blocks of normalization, convolution,
normalization, PReLU, convolution, normalization ("improved residual", IR) beside a shortcut.
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.training.backbones.layers import FlattenHead, conv_norm, initialize
from mien.training.backbones.network import Backbone

__all__ = ["BLOCKS", "residual_network"]

BLOCKS: dict[str, tuple[int, int, int, int]] = {
    "ir18": (2, 2, 2, 2),
    "ir34": (3, 4, 6, 3),
    "ir50": (3, 4, 14, 3),
    "ir101": (3, 13, 30, 3),
}
"""Blocks in each stage, by network."""

_SIZE = 112
_STEM = 64
_CHANNELS = (64, 128, 256, 512)


class _Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the second one has the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.BatchNorm2d(inputs),
            *conv_norm(inputs, outputs, 3),
            nn.PReLU(outputs),
            *conv_norm(outputs, outputs, 3, stride=stride),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm(inputs, outputs, stride=stride))

    def forward(self, maps: Tensor) -> Tensor:
        features: Tensor = self.path(maps) + self.shortcut(maps)
        return features


def residual_network(name: str, dimension: int, dropout: float) -> Backbone:
    """One of the IR networks, with random weights.

    Args:
        name: a key of ``BLOCKS``.
        dimension: numbers in a feature vector.
        dropout: before the last linear layer.
    """
    body = []
    inputs = _STEM
    for number, (outputs, blocks) in enumerate(zip(_CHANNELS, BLOCKS[name], strict=True)):
        stage: list[nn.Module] = [] if number else [*conv_norm(3, _STEM, 3), nn.PReLU(_STEM)]
        for block in range(blocks):
            stage.append(_Block(inputs, outputs, 1 if block else 2))
            inputs = outputs
        body.append(nn.Sequential(*stage))
    side = _SIZE >> len(_CHANNELS)
    network = Backbone(name, _SIZE, dimension, body, FlattenHead(inputs, side * side, dimension, dropout))
    initialize(network)
    return network
