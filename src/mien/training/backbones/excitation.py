"""Squeeze and excitation: each channel weighted by what all channels hold on the whole."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Excitation", "divisible"]


class Excitation(nn.Module):
    """Mean of each map, two layers, a gate between 0 and 1 for each map.

    Hu and others, Squeeze-and-Excitation Networks (2018).

    Args:
        channels: of the maps.
        reduced: between the two layers.
        activation: between them.
        gate: after them.
    """

    def __init__(self, channels: int, reduced: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, reduced, 1), activation, nn.Conv2d(reduced, channels, 1), gate
        )

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, channels, h, w)`` to the same."""
        features: Tensor = maps * self.layers(maps)
        return features


def divisible(channels: float, by: int) -> int:
    """The multiple of ``by`` nearest to ``channels``, but not under nine tenths of it.

    Howard and others, MobileNets, in their published code.
    """
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest
