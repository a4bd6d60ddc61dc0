"""How far work on a gallery is, told to whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "Steps"]

Progress = Callable[[int, int], None]
"""Is called with how much is done, and how much there is to do in all; at least once for every 10,000 templates."""


class Steps:
    """Counts what is done and tells it.

    Args:
        progress: whom to tell, or None.
        total: how many steps there are.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self.tell()

    def advance(self, steps: int) -> None:
        """So many more are done; never more than there are."""
        self._done = min(self._done + steps, self._total)
        self.tell()

    def tell(self) -> None:
        """Say once more how far it is: the work goes on, but cannot be counted."""
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        """All is done, whatever was counted."""
        self.advance(self._total - self._done)
