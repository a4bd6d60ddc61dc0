"""What several networks are made of: convolutions with their normalization, heads, and how weights begin."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["DepthwiseHead", "FlattenHead", "conv_norm", "exact", "in_float32", "initialize"]


def conv_norm(
    inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, padding: int | None = None
) -> list[nn.Module]:
    """A convolution without a bias and the batch normalization after it.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of its window.
        stride: its step.
        groups: in which the channels are convolved apart.
        padding: zeros around the maps; None for as many as keep the size at stride 1.
    """
    around = kernel // 2 if padding is None else padding
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, around, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def exact(maps: Tensor) -> Tensor:
    """``maps`` in float32, or float64 if they are so; themselves then, so that an exported graph has no idle cast."""
    return maps if maps.dtype in (torch.float32, torch.float64) else maps.float()


def in_float32(maps: Tensor) -> AbstractContextManager[Any]:
    """In it, what is computed of ``exact(maps)`` stays in float32 under mixed precision, too."""
    kind = maps.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


class _LastLayers(nn.Module):
    """Dropout, a linear layer and its normalization, in float32 whatever precision the maps come in."""

    def __init__(self, inputs: int, dimension: int, dropout: float, *, bias: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inputs, dimension, bias=bias)
        self.norm = nn.BatchNorm1d(dimension)

    def forward(self, maps: Tensor) -> Tensor:
        with in_float32(maps):
            flat = self.dropout(exact(maps)).flatten(1)
            features: Tensor = self.norm(self.linear(flat))
            return features


class FlattenHead(nn.Module):
    """Head of ArcFace's networks: normalization, dropout, a linear layer over all cells of the maps, normalization.

    "E" in Deng and others, ArcFace (2019), section 3.2 of its first version. The last normalization keeps its scale
    learnable (the authors fix it at 1): a student that is to meet a teacher's templates needs it.

    Args:
        channels: of the maps.
        cells: of a map.
        dimension: numbers that go out.
        dropout: share of the maps' values set to 0 in training.
    """

    def __init__(self, channels: int, cells: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.last = _LastLayers(channels * cells, dimension, dropout, bias=True)

    def forward(self, maps: Tensor) -> Tensor:
        """From ``(n, channels, h, w)`` to ``(n, dimension)`` float32."""
        features: Tensor = self.last(self.norm(maps))
        return features


class DepthwiseHead(nn.Module):
    """Head of MobileFaceNet: each map through a window of its own, normalization, a linear layer, normalization.

    The "global depthwise convolution" of Chen and others, MobileFaceNets (2018), section 3.2: it weighs the cells of
    a map, where the mean would take all alike.

    Args:
        channels: of the maps.
        side: of a map.
        dimension: numbers that go out.
        dropout: share of the values set to 0 in training, before the linear layer.
    """

    def __init__(self, channels: int, side: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.Sequential(*conv_norm(channels, channels, side, groups=channels, padding=0))
        self.last = _LastLayers(channels, dimension, dropout, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """From ``(n, channels, side, side)`` to ``(n, dimension)`` float32."""
        features: Tensor = self.last(self.pool(maps))
        return features


def initialize(network: nn.Module) -> None:
    """Draw first weights: convolutions and linear layers normal, so that gradients keep their variance.

    He and others, Delving Deep into Rectifiers (2015), equation 14 ("fan out"; a grouped convolution's is that of one
    group), which is also what ArcFace begins with; normalizations 1 and 0, biases 0, slopes of PReLU 0.25.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            rows, columns = module.kernel_size
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 * module.groups / (module.out_channels * rows * columns)))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, math.sqrt(1 / module.in_features))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
