"""Interleaved timing: who runs, in which order, and what the rounds say."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Ratio", "Spread", "interleave", "ratio", "spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes of the rounds, in milliseconds a photo."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one contender's time compares with another's.

    Attributes:
        name: what is compared with what.
        value: the ratio of the two medians.
        low: the smallest ratio within one round.
        high: the largest ratio within one round.
        target: what ``value`` should reach, or None where it is printed for the record.
        bound: whether ``value`` should be at least (≥) or at most (≤) the target.
    """

    name: str
    value: float
    low: float
    high: float
    target: float | None
    bound: Literal["≥", "≤"] = "≥"

    @property
    def reached(self) -> bool:
        """Whether the target is reached; true where there is none."""
        if self.target is None:
            return True
        return self.value >= self.target if self.bound == "≥" else self.value <= self.target

    def as_json(self) -> dict[str, Any]:
        """The ratio as a JSON object."""
        return {**asdict(self), "reached": self.reached}


def interleave(contenders: Mapping[str, Callable[[], float]], *, rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Run every contender once a round, in an order drawn anew each round.

    Args:
        contenders: warm calls that do the work once and return its seconds.
        rounds: how many rounds count.
        seed: of the order.

    Returns:
        For each contender its seconds, round by round.
    """
    order = random.Random(seed)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in order.sample(list(contenders), len(contenders)):
            seconds[name].append(contenders[name]())
    return seconds


def spread(seconds: Sequence[float], photos: int) -> Spread:
    """Median, least and most milliseconds a photo."""
    milliseconds = [1000 * value / photos for value in seconds]
    return Spread(statistics.median(milliseconds), min(milliseconds), max(milliseconds))


def ratio(
    name: str, over: Sequence[float], under: Sequence[float], target: float | None, bound: Literal["≥", "≤"] = "≥"
) -> Ratio:
    """The ratio of the medians of two contenders' seconds, with the range of the ratios within rounds."""
    by_round = [a / b for a, b in zip(over, under, strict=True)]
    value = statistics.median(over) / statistics.median(under)
    return Ratio(name, value, min(by_round), max(by_round), target, bound)
