"""One image's way through the batcher: what is asked for, the decoded picture, the answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mien.images.picture import Picture
from mien.recognizer import Outcome, Recognizer
from mien.recognizer.pipeline import Decoded
from mien.types import ImageArray

__all__ = ["Kind", "Ticket", "deliver", "faces_in", "outcomes", "prepared"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is to be done with an image; images of one kind go together.

    Attributes:
        work: which of the recognizer's calls.
        largest: only with the largest face.
        quality: measure quality too.
    """

    work: Literal["detect", "assess", "analyze", "portray"]
    largest: bool = False
    quality: bool = False


@dataclass(slots=True, eq=False)
class Ticket:
    """One image in the line.

    Attributes:
        kind: what is to be done with it.
        data: the encoded image, until it is decoded.
        answer: where the result goes; it belongs to the loop that asked.
        picture: the image, decoded.
        pixels: how many decoded pixels it holds or is about to hold.
        ready_at: when it was decoded.
        left: nobody waits for the answer any more.
    """

    kind: Kind
    data: bytes
    answer: asyncio.Future[Any]
    picture: Picture | None = None
    pixels: int = 0
    ready_at: float = math.inf
    left: bool = False


def prepared(decoded: Decoded) -> Picture:
    """A picture whose pixels are there already; what else is asked of it, it decodes."""
    picture = decoded.picture
    return Picture(picture.size_wh, picture.reductions, picture.name, partial(_pixels, decoded))


def _pixels(decoded: Decoded, reduction: int) -> ImageArray:
    return decoded.pixels if reduction == decoded.reduction else decoded.picture.pixels(reduction)


def outcomes(recognizer: Recognizer, kind: Kind, pictures: list[Picture]) -> Iterator[Outcome[Any]]:
    """What the recognizer's call of that kind makes of the pictures."""
    if kind.work == "detect":
        return recognizer.iter_detect(pictures, largest=kind.largest)
    if kind.work == "assess":
        return recognizer.iter_assess(pictures, largest=kind.largest)
    if kind.work == "portray":
        return recognizer.pipeline.portray(pictures, "rgb", kind.quality)
    return recognizer.iter_analyze(pictures, largest=kind.largest, quality=kind.quality)


def faces_in(answer: object) -> int:
    """How many faces a size and result have; none in an error."""
    if not isinstance(answer, tuple):
        return 0
    found = answer[1]
    return len(found[0] if isinstance(found, tuple) else found)


def deliver(answers: list[tuple[Ticket, object]]) -> None:
    """Hand results or errors to those who wait, from any thread; one call a loop wakes all of them."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Ticket, object]]] = {}
    for ticket, result in answers:
        by_loop.setdefault(ticket.answer.get_loop(), []).append((ticket, result))
    for loop, those in by_loop.items():
        with suppress(RuntimeError):  # the loop has been closed: nobody waits there
            loop.call_soon_threadsafe(_settle, those)


def _settle(answers: list[tuple[Ticket, object]]) -> None:
    for ticket, result in answers:
        if ticket.answer.done():
            continue
        if isinstance(result, Exception):
            ticket.answer.set_exception(result)
        else:
            ticket.answer.set_result(result)
