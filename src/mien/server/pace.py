"""How many requests come a minute, and how long they take: counts that processes can add up."""

from __future__ import annotations

import bisect
import itertools
import threading
import time
from collections.abc import Sequence

__all__ = ["EDGES_MS", "Counts", "Pace", "quantile_ms"]

EDGES_MS = tuple(1.15**step for step in range(80))
"""Upper edges of the classes of times, in milliseconds: 1 ms to 62 s, each 15 % above the one before."""

Counts = tuple[int, ...]
"""Requests by the class of their time: one for each edge, and one for those above the last."""

_MINUTE_S = 60.0
_KEPT_MINUTES = 3


class Pace:
    """The requests of one process in the last minutes; safe to use from many threads."""

    def __init__(self) -> None:
        self._minutes: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def note(self, seconds: float) -> None:
        """A request was answered, after so long."""
        place = bisect.bisect_left(EDGES_MS, seconds * 1000)
        minute = int(time.time() // _MINUTE_S)
        with self._lock:
            counts = self._minutes.get(minute)
            if counts is None:
                counts = self._minutes[minute] = [0] * (len(EDGES_MS) + 1)
                for old in [known for known in self._minutes if known <= minute - _KEPT_MINUTES]:
                    del self._minutes[old]
            counts[place] += 1

    def minutes(self) -> dict[int, Counts]:
        """By minute since 1970, the last ones that had requests."""
        with self._lock:
            return {minute: tuple(counts) for minute, counts in self._minutes.items()}


def quantile_ms(counts: Sequence[int], share: float) -> float | None:
    """The time in ms that this share of requests keeps, linear within a class; None without requests."""
    total = sum(counts)
    if total == 0:
        return None
    wanted = share * total
    for place, (before, after) in enumerate(itertools.pairwise(itertools.accumulate(counts, initial=0))):
        if after >= wanted and after > before:
            low = EDGES_MS[place - 1] if place else 0.0
            high = EDGES_MS[min(place, len(EDGES_MS) - 1)]
            return low + (high - low) * (wanted - before) / (after - before)
    return EDGES_MS[-1]
