"""Ctrl-C for work that must not be cut in two."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

__all__ = ["Interruption"]

_Item = TypeVar("_Item")
_NOTICE = "\nstopping after the {} in hand; Ctrl-C once more stops at once\n"


class Interruption:
    """Inside the block, the first Ctrl-C only asks to stop; ``until_asked`` then hands out no more work.

    A second Ctrl-C interrupts as usual. In threads other than the main one, where Python delivers no signals,
    the block changes nothing.

    Args:
        unit: what is being worked on, for the notice.

    Attributes:
        asked: whether Ctrl-C was pressed.
    """

    def __init__(self, unit: str = "images") -> None:
        self.asked = False
        self._notice = _NOTICE.format(unit).encode()
        self._before: Any = None

    def until_asked(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items, up to the moment when somebody asks to stop; one that was being made then still comes."""
        iterator = iter(items)
        while not self.asked:
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # Not through Python's buffers: the signal may have come while they were being written.
        os.write(2, self._notice)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
