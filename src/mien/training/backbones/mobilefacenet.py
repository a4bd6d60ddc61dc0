"""MobileFaceNet: a small network for phones, for images of 112 pixels.

Chen, Liu, Gao, Han, MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices (CCBR
2018), table 1: MobileNetV2's inverted residuals with PReLU, early reduction, and a depthwise window as last pooling.
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.training.backbones.layers import DepthwiseHead, conv_norm, initialize
from mien.training.backbones.network import Backbone

__all__ = ["mobilefacenet"]

_SIZE = 112
_STEM, _LAST = 64, 512
# Table 1, a stage a line: (expansion, channels, blocks, stride of the first block).
_STAGES = (
    ((2, 64, 5, 2),),
    ((4, 128, 1, 2), (2, 128, 6, 1)),
    ((4, 128, 1, 2), (2, 128, 2, 1)),
)


class _Bottleneck(nn.Module):
    """Widen, convolve each channel by itself, narrow; beside a shortcut where the size stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.path = nn.Sequential(
            *conv_norm(inputs, wide),
            nn.PReLU(wide),
            *conv_norm(wide, wide, 3, stride=stride, groups=wide),
            nn.PReLU(wide),
            *conv_norm(wide, outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.path(maps)
        return maps + found if self.adds else found


def mobilefacenet(dimension: int, dropout: float) -> Backbone:
    """MobileFaceNet, with random weights.

    Args:
        dimension: numbers in a feature vector; 128 in the paper.
        dropout: before the last linear layer; 0 in the paper.
    """
    stem = [*conv_norm(3, _STEM, 3, stride=2), nn.PReLU(_STEM)]
    stem += [*conv_norm(_STEM, _STEM, 3, groups=_STEM), nn.PReLU(_STEM)]
    body: list[nn.Module] = [nn.Sequential(*stem)]
    inputs = _STEM
    for lines in _STAGES:
        stage: list[nn.Module] = []
        for expansion, outputs, blocks, stride in lines:
            for block in range(blocks):
                stage.append(_Bottleneck(inputs, outputs, expansion, 1 if block else stride))
                inputs = outputs
        body.append(nn.Sequential(*stage))
    last = nn.Sequential(*conv_norm(inputs, _LAST), nn.PReLU(_LAST))
    head = nn.Sequential(last, DepthwiseHead(_LAST, _SIZE >> len(body), dimension, dropout))
    network = Backbone("mobilefacenet", _SIZE, dimension, body, head)
    initialize(network)
    return network
