"""Micro-batches: requests that come at once go through the networks together.

Requests wait in a bounded line. Decoding threads take them up in order, only so far ahead as memory allows; one thread
lets the decoded images of a kind, at most a batch, through the recognizer. So decoding goes on while the networks work,
and a request that comes alone waits for nobody. What a request gets does not depend on its neighbors.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from mien.errors import MienError, Overloaded
from mien.galleries import Portraits
from mien.images import open_image
from mien.recognizer import Recognizer
from mien.recognizer.outcomes import closed
from mien.server.tickets import Kind, Ticket, deliver, faces_in, outcomes, prepared
from mien.types import Analysis, Faces, Quality

if TYPE_CHECKING:
    from mien.server.metrics import Meters
    from mien.server.settings import ServerSettings

__all__ = ["Batcher"]

# Decoded images that wait for the networks: some phone photos' pixels, 300 megabytes.
_AHEAD_PIXELS = 96_000_000
_DECODERS = 4
_LONGEST_RETRY_S = 60.0


class Batcher:
    """Lets images through a recognizer, those of several requests together.

    Every call may raise ``BadImage`` (no image, too large, damaged) and ``Overloaded`` (the line is full, the request
    waited longer than ``settings.timeout_s``, or the batcher is closed). A call that is canceled leaves the line.

    Args:
        recognizer: what looks at the images.
        settings: ``queue``, ``batch``, ``wait_ms``, ``timeout_s`` and ``max_pixels`` are used.
        meters: told how many images wait, go together and have how many faces; None for nobody.
    """

    def __init__(self, recognizer: Recognizer, settings: ServerSettings, meters: Meters | None = None) -> None:
        self._recognizer = recognizer
        self._queue, self._batch = settings.queue, settings.batch
        self._wait_s, self._timeout_s = settings.wait_ms / 1000, settings.timeout_s
        self._max_pixels = min(settings.max_pixels, recognizer.settings.max_pixels)
        self._meters = meters
        self._lock = threading.Lock()
        self._to_decode = threading.Condition(self._lock)
        self._to_run = threading.Condition(self._lock)
        self._waiting: deque[Ticket] = deque()
        self._ready: deque[Ticket] = deque()
        self._decoding = self._running = 0
        self._ahead_pixels = 0
        self._image_s = 0.02
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def depth(self) -> int:
        """How many images wait: to be decoded, or for the networks."""
        with self._lock:
            return self._line()

    @property
    def in_flight(self) -> int:
        """How many images were taken in and are not answered yet."""
        with self._lock:
            return self._line() + self._running

    async def detect(self, image: bytes, *, largest: bool = False) -> tuple[tuple[int, int], Faces]:
        """Size and faces of an image; see ``Recognizer.detect``."""
        size_wh, found = await self._ask(image, Kind("detect", largest))
        return size_wh, found

    async def assess(self, image: bytes, *, largest: bool = False) -> tuple[tuple[int, int], Quality]:
        """Size and faces' quality of an image; see ``Recognizer.assess``."""
        size_wh, found = await self._ask(image, Kind("assess", largest))
        return size_wh, found

    async def analyze(self, image: bytes, *, largest: bool = False, quality: bool = False) -> Analysis:
        """Faces, chips and templates of an image; see ``Recognizer.analyze``."""
        _, found = await self._ask(image, Kind("analyze", largest, quality))
        analysis: Analysis = found
        return analysis

    async def portray(self, image: bytes, *, quality: bool = False) -> tuple[Analysis, Portraits]:
        """As ``analyze``, with the portrait of the largest face; see ``Pipeline.portray``."""
        _, found = await self._ask(image, Kind("portray", quality=quality))
        analysis, portraits = found
        return analysis, portraits

    async def start(self) -> None:
        """Begin to work."""
        names = [f"mien-decode-{number}" for number in range(min(_DECODERS, os.cpu_count() or 1))]
        self._threads = [threading.Thread(target=self._decode_all, name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._run_all, name="mien-batch", daemon=True))
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Take nothing in any more, finish what was taken, and end the threads."""
        with self._lock:
            self._closed = True
            self._to_decode.notify_all()
            self._to_run.notify_all()
        for thread in self._threads:
            await anyio.to_thread.run_sync(thread.join)

    async def _ask(self, image: bytes, kind: Kind) -> Any:
        loop = asyncio.get_running_loop()
        ticket = Ticket(kind, image, loop.create_future())
        self._take_in(ticket)
        timer = loop.call_later(self._timeout_s, partial(self._expire, ticket))
        try:
            return await ticket.answer
        finally:
            timer.cancel()
            if ticket.answer.cancelled():
                self._leave(ticket)

    def _take_in(self, ticket: Ticket) -> None:
        with self._lock:
            if self._closed:
                raise Overloaded("the server is shutting down", 1.0)
            line = self._line()
            if line >= self._queue:
                after = min(_LONGEST_RETRY_S, max(1.0, line * self._image_s))
                raise Overloaded(f"expected at most {self._queue} images to be waiting, and there are {line}", after)
            self._waiting.append(ticket)
            self._to_decode.notify_all()
        if self._meters is not None:
            self._meters.queued(line + 1)

    def _line(self) -> int:
        return len(self._waiting) + self._decoding + len(self._ready)

    def _expire(self, ticket: Ticket) -> None:
        if not ticket.answer.done():
            ticket.answer.set_exception(self._too_late())
            self._leave(ticket)

    def _too_late(self) -> Overloaded:
        return Overloaded(f"the image was not looked at within {self._timeout_s:g} s", 1.0)

    def _leave(self, ticket: Ticket) -> None:
        """Nobody waits for the answer any more: take it out of the line, wherever in it."""
        with self._lock:
            ticket.left = True
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif ticket in self._ready:
                self._ready.remove(ticket)
                self._ahead_pixels -= ticket.pixels
                self._to_decode.notify_all()
        self._tell_depth()

    def _decode_all(self) -> None:
        """A decoding thread's work."""
        while (ticket := self._next_to_decode()) is not None:
            failure: Exception | None = None
            try:
                picture = open_image(ticket.data, max_pixels=self._max_pixels)
                self._reserve(ticket, picture.size_wh[0] * picture.size_wh[1])
                decoded = self._recognizer.pipeline.decode(picture)
                ticket.picture = prepared(decoded)
                pixels = decoded.pixels.shape[0] * decoded.pixels.shape[1]
            except Exception as error:  # whatever it is, it is this request's alone
                failure, pixels = error, 0
            ticket.data = b""
            with self._lock:
                self._ahead_pixels += pixels - ticket.pixels
                ticket.pixels = pixels
                self._decoding -= 1
                if failure is None and not ticket.left:
                    ticket.ready_at = time.monotonic()
                    self._ready.append(ticket)
                else:
                    self._ahead_pixels -= pixels
                self._to_decode.notify_all()
                self._to_run.notify()
            if failure is not None or ticket.left:
                self._tell_depth()
            if failure is not None:
                deliver([(ticket, failure)])

    def _next_to_decode(self) -> Ticket | None:
        with self._lock:
            while True:
                if self._waiting and len(self._ready) + self._decoding < 2 * self._batch:
                    self._decoding += 1
                    return self._waiting.popleft()
                if self._closed and not self._waiting:
                    return None
                self._to_decode.wait()

    def _reserve(self, ticket: Ticket, pixels: int) -> None:
        """Wait until there is room for so many decoded pixels; one image always has room."""
        with self._lock:
            while self._ahead_pixels and self._ahead_pixels + pixels > _AHEAD_PIXELS:
                self._to_decode.wait()
            self._ahead_pixels += pixels
            ticket.pixels = pixels

    def _run_all(self) -> None:
        """The networks' thread's work."""
        while batch := self._next_batch():
            kind, start = batch[0].kind, time.monotonic()
            results = self._results(batch, kind)
            seconds = time.monotonic() - start
            with self._lock:
                self._running = 0
                self._image_s += 0.1 * (seconds / len(batch) - self._image_s)
            self._tell(kind, results)
            deliver(list(zip(batch, results, strict=True)))

    def _next_batch(self) -> list[Ticket]:
        """Images of the kind that waits longest, at most a batch; none once the batcher is closed and all is done."""
        with self._lock:
            while True:
                if not self._ready:
                    if self._closed and not self._waiting and not self._decoding:
                        return []
                    self._to_run.wait()
                    continue
                first = self._ready[0]
                batch = [ticket for ticket in self._ready if ticket.kind == first.kind][: self._batch]
                left_s = first.ready_at + self._wait_s - time.monotonic()
                if len(batch) < self._batch and left_s > 0 and (self._waiting or self._decoding):
                    self._to_run.wait(left_s)
                    continue
                for ticket in batch:
                    self._ready.remove(ticket)
                    self._ahead_pixels -= ticket.pixels
                self._running = len(batch)
                self._to_decode.notify_all()
                return batch

    def _tell(self, kind: Kind, results: list[object]) -> None:
        if self._meters is not None:
            self._meters.batched(kind.work, len(results))
            self._meters.found(sum(faces_in(result) for result in results))
        self._tell_depth()

    def _tell_depth(self) -> None:
        if self._meters is not None:
            self._meters.queued(self.depth)

    def _results(self, batch: list[Ticket], kind: Kind) -> list[object]:
        """Size and result of each image, or the error that is its own."""
        pictures = [ticket.picture for ticket in batch if ticket.picture is not None]
        try:
            with closed(outcomes(self._recognizer, kind, pictures)) as found:
                return [o.result if isinstance(o.result, MienError) else (o.size_wh, o.result) for o in found]
        except MienError as error:  # no image's fault: a model is missing, a license refused
            return [error] * len(batch)
        except Exception as error:  # a defect; it must not reach the neighbors
            if len(batch) == 1:
                return [error]
            return [result for ticket in batch for result in self._results([ticket], kind)]
