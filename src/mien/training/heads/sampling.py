"""Which classes a process has, where their centers begin, and which of them take part in a step."""

from __future__ import annotations

import torch
from torch import Tensor

from mien.errors import BadInput

__all__ = ["chosen_classes", "first_centers", "shard_bounds"]

_BLOCK = 4096
_DEVIATION = 0.01
_LOTS = 1 << 24


def shard_bounds(classes: int, rank: int, world: int) -> tuple[int, int]:
    """The first class of a process, and the first that is not its own any more; sizes differ by one at most."""
    if classes < 1 or not 0 <= rank < world:
        raise BadInput(f"expected classes >= 1 and 0 <= rank < world, got {classes} classes, rank {rank} of {world}")
    each, more = divmod(classes, world)
    return rank * each + min(rank, more), (rank + 1) * each + min(rank + 1, more)


def first_centers(first: int, last: int, dimension: int, seed: int) -> Tensor:
    """``(last - first, dimension) float32``: random centers, the same for a class whoever has it.

    Normal with deviation 0.01, so that their lengths, about ``0.01 sqrt(dimension)``, suit the usual learning rates
    (arcface_torch's choice).
    """
    found = torch.empty((last - first, dimension))
    for block in range(first // _BLOCK, (last + _BLOCK - 1) // _BLOCK):
        generator = torch.Generator().manual_seed((seed << 24) + block)
        values = torch.randn((_BLOCK, dimension), generator=generator)
        start = block * _BLOCK
        mine = values[max(0, first - start) : last - start]
        place = max(0, start - first)
        found[place : place + len(mine)] = mine
    return found.mul_(_DEVIATION)


def chosen_classes(first: int, last: int, rate: float, seed: int, draw: int, device: torch.device) -> Tensor:
    """``(last - first,) bool``: which classes are drawn, each by itself with probability ``rate``.

    A class's lot is a hash of seed, draw and class (the finalizer of SplitMix64, Steele and others 2014, "Fast
    splittable pseudorandom number generators"), so the drawn classes do not depend on how many processes there are, and
    there is no random state to be kept.
    """
    lots = torch.arange(first, last, dtype=torch.int64, device=device)
    lots = lots * _signed(0x9E3779B97F4A7C15) + _signed(_mixed(_mixed(seed) + draw))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        lots ^= (lots >> shift) & ((1 << (64 - shift)) - 1)
        lots *= _signed(factor)
    return ((lots >> 40) & (_LOTS - 1)) < round(rate * _LOTS)


def _mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) % (1 << 64)
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % (1 << 64)
    value = (value ^ value >> 27) * 0x94D049BB133111EB % (1 << 64)
    return value ^ value >> 31


def _signed(value: int) -> int:
    value %= 1 << 64
    return value - (1 << 64) if value >= 1 << 63 else value
