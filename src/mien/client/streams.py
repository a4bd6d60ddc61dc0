"""Many requests at once: a bounded number under way, results in the order of the items, in constant memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mien.errors import BadImage, BadInput, MienError, NoFace, QualityRefused, SeveralFaces, TooLarge

__all__ = ["check_parallel", "in_order", "in_order_async", "of_image"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD = 2
_MOST = 64
_OF_IMAGES = (BadImage, BadInput, NoFace, QualityRefused, SeveralFaces, TooLarge)


def of_image(error: MienError) -> bool:
    """Whether an error concerns one image, so that the others may go on."""
    return isinstance(error, _OF_IMAGES)


def check_parallel(parallel: int) -> None:
    """Refuse what makes no sense.

    Raises:
        BadInput: ``parallel`` is out of range.
    """
    if not isinstance(parallel, int) or not 1 <= parallel <= _MOST:
        raise BadInput(f"parallel: expected 1 to {_MOST} requests at once, got {parallel}")


def in_order(work: Callable[[_Item], _Result], items: Iterable[_Item], parallel: int) -> Iterator[_Result]:
    """What ``work`` makes of each item, in order; items are taken as they are needed.

    Args:
        work: called in threads.
        items: taken in the caller's own thread.
        parallel: how many at once.
    """
    check_parallel(parallel)
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(parallel, thread_name_prefix="mien-client") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= _AHEAD * parallel:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


async def in_order_async(
    work: Callable[[_Item], Awaitable[_Result]], items: Iterable[_Item] | AsyncIterable[_Item], parallel: int
) -> AsyncIterator[_Result]:
    """As ``in_order``, with tasks of asyncio."""
    check_parallel(parallel)
    waiting: deque[asyncio.Task[_Result]] = deque()
    limit = asyncio.Semaphore(parallel)

    async def one(item: _Item) -> _Result:
        async with limit:
            return await work(item)

    try:
        async for item in _each(items):
            waiting.append(asyncio.create_task(one(item)))
            if len(waiting) >= _AHEAD * parallel:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _each(items: Iterable[_Item] | AsyncIterable[_Item]) -> AsyncIterator[_Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
