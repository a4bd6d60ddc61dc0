"""What OpenFace's networks are made of: an inception module, pooling by root mean of squares, local normalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.training.backbones.layers import exact, in_float32

__all__ = ["Inception", "LocalNorm", "Module", "Pool", "convolved"]

# Below this, a root's slope would be too steep to follow.
_LEAST_SQUARE = 1e-12
_WINDOW = 3


@dataclass(frozen=True, slots=True)
class Pool:
    """The pooling of an inception module, of windows of 3×3.

    Attributes:
        kind: ``max``, or ``l2``: the root of the sum of squares.
        stride: step of the windows.
        padding: around the maps; for ``max`` alone.
    """

    kind: Literal["max", "l2"]
    stride: int
    padding: int = 0

    def layer(self) -> nn.Module:
        """What does it."""
        if self.kind == "max":
            return nn.MaxPool2d(_WINDOW, self.stride, self.padding)
        return _RootOfSquares(self.stride)

    def side(self, side: int) -> int:
        """Of the maps that come out, for that of those that come in."""
        return (side + 2 * self.padding - _WINDOW) // self.stride + 1


@dataclass(frozen=True, slots=True)
class Module:
    """An inception module: channels of its branches, each of which ends in a normalization and a ReLU.

    Attributes:
        convolutions: ``(kernel, reduced, channels)`` each: a 1×1 convolution to ``reduced``, then one of ``kernel``.
        pool: the pooling branch's.
        projected: channels of the 1×1 convolution after the pooling; None for no such convolution.
        direct: channels of the branch that is a 1×1 convolution alone; None for no such branch.
        stride: of the larger convolutions.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    pool: Pool
    projected: int | None
    direct: int | None
    stride: int = 1

    def channels(self, inputs: int) -> int:
        """Of all branches together, for as many as come in."""
        pooled = inputs if self.projected is None else self.projected
        return sum(channels for _, _, channels in self.convolutions) + pooled + (self.direct or 0)


class Inception(nn.Module):
    """Branches side by side, those with smaller maps put in the middle of zeros.

    Szegedy and others, Going Deeper with Convolutions (2015), as Torch's ``nn.Inception`` and ``nn.DepthConcat`` do it.

    Args:
        inputs: channels that come in.
        module: the branches.
        side: of the maps that come in, in cells; a multiple of the module's stride.
    """

    def __init__(self, inputs: int, module: Module, side: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*convolved(inputs, reduced, 1), *convolved(reduced, channels, kernel, module.stride))
            for kernel, reduced, channels in module.convolutions
        )
        projection = [] if module.projected is None else convolved(inputs, module.projected, 1)
        short = side // module.stride - module.pool.side(side)
        around = [nn.ConstantPad2d((short // 2, short - short // 2) * 2, 0.0)] if short else []
        self.branches.append(nn.Sequential(module.pool.layer(), *projection, *around))
        if module.direct is not None:
            self.branches.append(nn.Sequential(*convolved(inputs, module.direct, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, inputs, side, side)`` to the branches' channels, in maps smaller by the stride."""
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


class LocalNorm(nn.Module):
    """Each value divided by ``(1 + 1e-4 / 5 · sum of squares of 5 neighboring channels) ** 0.75``.

    Krizhevsky and others, ImageNet Classification with Deep Convolutional Neural Networks (2012), section 3.3, with
    the constants of OpenFace; in float32, whatever comes in.

    Args:
        channels: of the maps.
        side: of the maps, in cells.
    """

    _ACROSS, _ALPHA, _BETA = 5, 1e-4, 0.75

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self._plane, self._side = (channels, side * side), side

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, channels, side, side)`` to the same."""
        with in_float32(maps):
            wide = exact(maps)
            planes = wide.square().reshape(-1, 1, *self._plane)
            # The mean of a window that reaches beyond the channels counts zeros there, as is wanted.
            mean = functional.avg_pool2d(planes, (self._ACROSS, 1), 1, (self._ACROSS // 2, 0))
            scale = (1 + self._ALPHA * mean).pow(-self._BETA)
            return (wide * scale.reshape(-1, self._plane[0], self._side, self._side)).to(maps.dtype)


class _RootOfSquares(nn.Module):
    """The root of the sum of squares in each window of 3×3, in float32, with a slope that stays finite at 0."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        with in_float32(maps):
            total = functional.avg_pool2d(exact(maps).square(), _WINDOW, self.stride) * _WINDOW**2
            return total.clamp(min=_LEAST_SQUARE).sqrt().to(maps.dtype)


def convolved(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A convolution with a bias (OpenFace has it, though the normalization makes it idle), normalization, ReLU.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of its window.
        stride: its step.
    """
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU()]
