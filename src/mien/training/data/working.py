"""Preparing images in parallel, in order, a bounded number ahead of who takes them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

import cv2

from mien.errors import BadInput, RuntimeFailed
from mien.recognizer import Recognizer, Settings
from mien.training.data.listing import Listing
from mien.training.data.preparing import PackSettings, Prepared, Refused, prepare

__all__ = ["prepared_in_order"]

_IMAGES_A_TASK = 32
_TASKS_AHEAD = 2


def prepared_in_order(
    listing: Listing, start: int, settings: PackSettings, recognizer: Recognizer | None
) -> Generator[Prepared | Refused, None, None]:
    """What becomes of the images from number ``start`` on, in order.

    Threads do it, which read, decode and encode side by side; faces are found by processes, each with a recognizer of
    its own that uses one thread. With one worker all is done here, by the recognizer that was given.

    Args:
        listing: the images.
        start: the first one.
        settings: how, and with how many workers.
        recognizer: finds the faces, where they are to be aligned.
    """
    numbers = range(start, len(listing))
    if settings.workers == 1 or len(numbers) <= _IMAGES_A_TASK:
        yield from prepare(listing, numbers, settings, recognizer)
        return
    tasks = iter([numbers[k : k + _IMAGES_A_TASK] for k in range(0, len(numbers), _IMAGES_A_TASK)])
    pool, submit = _pool(listing, settings, recognizer)
    try:
        waiting = deque(submit(task) for task in islice(tasks, settings.workers * _TASKS_AHEAD))
        while waiting:
            items = waiting.popleft().result()
            waiting.extend(submit(task) for task in islice(tasks, 1))
            yield from items
    except BrokenProcessPool as error:
        raise RuntimeFailed("a process that finds faces ended by itself; what is packed is kept") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(
    listing: Listing, settings: PackSettings, recognizer: Recognizer | None
) -> tuple[Executor, Callable[[range], Future[list[Prepared | Refused]]]]:
    """Workers, and how to give them a task."""
    if settings.form != "align":
        threads = ThreadPoolExecutor(settings.workers, "mien-pack")
        return threads, lambda task: threads.submit(_in_thread, listing, task, settings)
    if recognizer is None:
        raise BadInput("align: expected a recognizer to find the faces with, got none")
    # Found or downloaded once, before all processes look for it.
    recognizer.warmup()
    context = multiprocessing.get_context("spawn")
    given = recognizer.settings.model_copy(update={"threads": 1})
    processes = ProcessPoolExecutor(settings.workers, context, _begin, (listing, settings, given))
    return processes, lambda task: processes.submit(_in_process, task)


def _in_thread(listing: Listing, task: range, settings: PackSettings) -> list[Prepared | Refused]:
    return list(prepare(listing, task, settings, None))


_held: tuple[Listing, PackSettings, Recognizer] | None = None


def _begin(listing: Listing, settings: PackSettings, given: Settings) -> None:
    """Make a worker process ready."""
    global _held
    # Ctrl-C is the parent's to handle; and where the parent is killed, nobody would ever stop its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _held = listing, settings, Recognizer(given)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_process(task: range) -> list[Prepared | Refused]:
    if _held is None:
        raise BadInput("a worker process was not made ready")
    listing, settings, recognizer = _held
    return list(prepare(listing, task, settings, recognizer))
