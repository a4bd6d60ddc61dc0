"""The thread that erases what has expired while a gallery is open."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

from mien.errors import GalleryError

__all__ = ["DAY_S", "Keeper", "cutoff"]

DAY_S = 86_400.0
"""Seconds of a day."""

_SHORTEST_S, _LONGEST_S = 0.05, 60.0


def cutoff(days: float | None) -> float | None:
    """The time, in seconds since 1970, before which nothing may have been enrolled that is kept for ``days``."""
    return None if days is None else time.time() - days * DAY_S


class Keeper:
    """Calls a gallery's method again and again, a hundred times in the shortest of its periods, until stopped.

    It holds no reference to the gallery, which is so given back when nobody uses it any more. An attempt that fails
    (the disk is full, another process is writing) is followed by the next one.

    Args:
        task: the bound method.
        periods_days: for how long things are kept; without any there is nothing to do, and no thread.
    """

    def __init__(self, task: Callable[[], None], *periods_days: float | None) -> None:
        self._stop = threading.Event()
        periods = [days * DAY_S for days in periods_days if days is not None]
        if periods:
            every_s = min(max(min(periods) / 100, _SHORTEST_S), _LONGEST_S)
            arguments = (weakref.WeakMethod(task), self._stop, every_s)
            threading.Thread(target=_keep, args=arguments, name="mien gallery keeper", daemon=True).start()

    def stop(self) -> None:
        """End the thread, at the latest when its present attempt is over."""
        self._stop.set()


def _keep(task: weakref.WeakMethod[Callable[[], None]], stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        method = task()
        if method is None:
            return
        try:
            method()
        except GalleryError:
            # The next attempt may succeed; until then what has expired is not shown.
            continue
        finally:
            del method
