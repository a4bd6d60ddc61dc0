"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from mien.client.call import Answer, Call
from mien.client.problems import retry_after_s
from mien.errors import ConnectionLost

__all__ = ["Broken", "Retries"]

_BASE_S = 0.25
_LONGEST_S = 8.0
_LONGEST_WAIT_S = 60.0
_UNSURE = (408, 502, 504)


@dataclass(frozen=True, slots=True)
class Broken:
    """A request that got no answer.

    Attributes:
        error: what is raised in the end.
        sent: whether it may have reached the server.
        hopeless: whether it would only go wrong again.
    """

    error: ConnectionLost
    sent: bool
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent again at most.

    Where the server said that it did nothing (429, or 503 with Retry-After), or nobody was there, any request is sent
    again; where nobody knows whether it arrived, only those of which two are as good as one.

    Attributes:
        most: how often.
    """

    most: int

    def delay_s(self, call: Call[Any], outcome: Answer | Broken, done: int) -> float | None:
        """How many seconds to wait before the request is sent again; None to leave it.

        Exponential back-off with "equal jitter": half of the time is fixed, half drawn, so that clients that were
        turned away together do not come back together.

        Args:
            call: what was asked.
            outcome: what came of it.
            done: how often it was sent again already.
        """
        if done >= self.most:
            return None
        wanted = 0.0
        if isinstance(outcome, Broken):
            if outcome.hopeless or (outcome.sent and not call.repeatable):
                return None
        elif outcome.status in (429, 503):
            asked = retry_after_s(outcome)
            if asked is None and outcome.status == 503 and not call.repeatable:
                return None
            wanted = 0.0 if asked is None else asked
        elif outcome.status not in _UNSURE or not call.repeatable:
            return None
        if wanted > _LONGEST_WAIT_S:
            return None
        pause: float = min(_LONGEST_S, _BASE_S * 2**done)
        return wanted + pause / 2 + random.uniform(0, pause / 2)
