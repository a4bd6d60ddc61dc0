"""What routes have in common: work in threads, galleries by name, thresholds, and clients that go away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio.to_thread
import numpy as np
from fastapi import Request
from pydantic import BaseModel

from mien.errors import BadInput, MienError, TimedOut
from mien.galleries import Gallery, acting_as
from mien.recognizer import Recognizer
from mien.server.access import Caller
from mien.server.services import Services
from mien.types import Templates

__all__ = ["all_attended", "attended", "blocking", "gallery_of", "in_gallery", "merged", "templates_of", "threshold_of"]

_Result = TypeVar("_Result")
_Options = TypeVar("_Options", bound=BaseModel)


async def attended(request: Request, work: Awaitable[_Result]) -> _Result:
    """What the work gives; it is canceled if the client goes away. The body must have been read.

    Raises:
        TimedOut: the client went away, so nobody sees this.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimedOut("the client went away")
    finally:
        task.cancel()
        gone.cancel()


async def all_attended(request: Request, works: Sequence[Awaitable[_Result]]) -> list[_Result | MienError]:
    """What each of the works gives, or its error; all are canceled if the client goes away."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await attended(request, asyncio.gather(*tasks, return_exceptions=True))
    finally:
        for task in tasks:
            task.cancel()
    found: list[_Result | MienError] = []
    for task in tasks:
        error = task.exception()
        if error is None:
            found.append(task.result())
        elif isinstance(error, MienError):
            found.append(error)
        else:
            raise error
    return found


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def blocking(services: Services, caller: Caller, work: Callable[[], _Result]) -> _Result:
    """What the work gives, which is done in a thread; what it does to galleries is logged as the caller's."""

    def done() -> _Result:
        with acting_as(f"key:{caller.name}"):
            return work()

    return await anyio.to_thread.run_sync(done, limiter=services.limiter)


async def in_gallery(services: Services, caller: Caller, name: str, work: Callable[[Gallery], _Result]) -> _Result:
    """What the work makes of the gallery of that name, in a thread, logged there as the caller's.

    Raises:
        GalleryNotFound: there is none.
        BadInput: no gallery can have that name.
        GalleryError: it cannot be opened.
    """
    return await blocking(services, caller, lambda: services.places.using(name, work))


async def gallery_of(services: Services, name: str) -> Gallery:
    """The gallery of that name.

    Raises:
        GalleryNotFound: there is none.
        BadInput: no gallery can have that name.
        GalleryError: it cannot be opened.
    """
    kept = services.places.kept(name)
    if kept is not None:
        return kept
    return await anyio.to_thread.run_sync(services.places.get, name, limiter=services.limiter)


def merged(options: _Options, json: BaseModel | None) -> _Options:
    """The query's options, and over them those that a JSON body gives."""
    if json is None:
        return options
    known = type(options).model_fields
    return options.model_copy(update={name: getattr(json, name) for name in json.model_fields_set if name in known})


def threshold_of(
    recognizer: Recognizer,
    threshold: float | None,
    fmr: float | None,
    fpir: float | None = None,
    gallery: Gallery | None = None,
) -> float:
    """The threshold that was given or belongs to a rate, or else the recognizer's own.

    Raises:
        BadInput: several were given.
        CalibrationNotFound: a rate was given, and there is no calibration for the recognizer's space.
    """
    given = {"threshold": threshold, "fmr": fmr, "fpir": fpir}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise BadInput(f"expected one of them, got {' and '.join(named)}")
    if threshold is not None:
        return threshold
    return recognizer.threshold_at(fmr=fmr, fpir=fpir, gallery=gallery) if named else recognizer.threshold


def templates_of(recognizer: Recognizer, vectors: Sequence[Sequence[float]], space: str | None) -> Templates:
    """Templates from a request's numbers.

    Raises:
        BadInput: there is no space, or the vectors are not of unit norm or not of the space's dimension.
        SpaceMismatch: they are not of the recognizer's space.
    """
    if space is None:
        raise BadInput(f"space: expected the templates' embedding space, such as {recognizer.space}, got none")
    wanted = recognizer.embedder.dimension
    for vector in vectors:
        if len(vector) != wanted:
            raise BadInput(f"templates: expected vectors of {wanted} numbers, got one of {len(vector)}")
    templates = Templates(np.array(vectors, np.float32).reshape(-1, wanted), space)
    templates.require_space(recognizer.space)
    return templates
