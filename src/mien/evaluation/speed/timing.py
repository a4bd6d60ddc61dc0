"""Timing calls one by one, as NIST's face recognition tests report them: the median and the 95th percentile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput

__all__ = ["Times", "time_calls"]

_LEAST_CALLS = 5


@dataclass(frozen=True, slots=True)
class Times:
    """How long single calls took.

    Attributes:
        calls: how many were timed.
        median_ms: half of them took no longer, in milliseconds.
        p95_ms: 95 of 100 took no longer, in milliseconds.
    """

    calls: int
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> Times:
        """The times of calls that took so many seconds.

        Raises:
            BadInput: there are none.
        """
        if not seconds:
            raise BadInput("expected at least one timed call, got none")
        middle, late = np.percentile(seconds, (50, 95))
        return cls(len(seconds), 1e3 * float(middle), 1e3 * float(late))


def time_calls(work: Callable[[], object], *, seconds: float, least: int = _LEAST_CALLS) -> Times:
    """Call ``work`` once unmeasured, then for so long and at least so often, each call timed.

    Args:
        work: what to time.
        seconds: how long to go on; the call under way then is waited for.
        least: the fewest timed calls.
    """
    work()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return Times.of(taken)
