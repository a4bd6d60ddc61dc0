"""Single numbers at random, several times faster than NumPy's methods for arrays give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

__all__ = ["between", "happens", "one_of", "whole"]

_Item = TypeVar("_Item")


def between(random: np.random.Generator, low: float, high: float) -> float:
    """A number, all from ``low`` to ``high`` as likely."""
    return low + (high - low) * random.random()


def whole(random: np.random.Generator, count: int) -> int:
    """A whole number from 0 to ``count - 1``."""
    return min(int(random.random() * count), count - 1)


def one_of(random: np.random.Generator, items: Sequence[_Item]) -> _Item:
    """One of some items."""
    return items[whole(random, len(items))]


def happens(random: np.random.Generator, probability: float) -> bool:
    """True in ``probability`` of the cases; draws nothing where that is 0."""
    return probability > 0 and random.random() < probability
