"""How much requests may bring, each and together, how slowly it may come, and how many requests a key may send."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.errors import MienError, Overloaded, RateLimited, TimedOut, TooLarge
from mien.server.problems import problem_of
from mien.server.requests import header, request_id_of

if TYPE_CHECKING:
    from mien.server.settings import ServerSettings

__all__ = ["BodyLimit", "RateLimit", "body_limit"]

_TO_FILES = re.compile(r"/v1/jobs/enroll")
_SEVERAL_IMAGES = re.compile(r"/v1/galleries/[^/]+/(enroll|identify-batch)|/v1/jobs/enroll")
_TWO_IMAGES = re.compile(r"/v1/verify")
# Bodies that are read whole and made to objects before anybody asks whether the key may send them.
_NO_IMAGES = re.compile(r"/v1/(jobs|keys)(/.*)?")
# Boundaries and headers of multipart bodies, and the other members of JSON objects.
_AROUND_BYTES = 64 * 1024
# Slower than any line in use; a body that comes slower than this holds a connection for nothing.
_SLOWEST_BYTES_PER_S = 10_000
_MOST_BUCKETS = 10_000


def body_limit(settings: ServerSettings, path: str, json: bool) -> int:
    """The largest body in bytes that a path takes; JSON has its images in base64, a third longer."""
    if _SEVERAL_IMAGES.fullmatch(path):
        most = settings.max_batch_bytes
    elif _NO_IMAGES.fullmatch(path):
        most = 0
    elif _TWO_IMAGES.fullmatch(path):
        most = 2 * settings.max_body_bytes
    else:
        most = settings.max_body_bytes
    return (math.ceil(most / 3) * 4 if json else most) + _AROUND_BYTES


class BodyLimit:
    """Middleware that refuses bodies which are too large or come too slowly, and those for which there is no room.

    Too large is known by the stated length before a byte is read, else as soon as the body is past it. Room is taken by
    the bytes that have come, not by those that were promised, until the request is answered.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._room = _Room(settings.max_bytes_in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = body_limit(self._settings, scope["path"], "json" in (header(scope, "content-type") or ""))
        stated = header(scope, "content-length")
        if stated is not None and stated.isdecimal() and int(stated) > most:
            await _refuse(_too_large(int(stated), most), scope, receive, send)
            return
        room = None if _TO_FILES.fullmatch(scope["path"]) else self._room
        body = _Body(receive, most, self._settings.timeout_s, room)
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            # What the application makes of a body that was cut off is of no interest.
            if body.refused is None:
                answered = True
                await send(message)

        try:
            await self._app(scope, body.receive, watched)
        except MienError as error:
            if error is not body.refused:
                raise
        finally:
            body.forget()
        if body.refused is not None and not answered:
            await _refuse(body.refused, scope, receive, send)


class _Room:
    """How many bytes of bodies this process holds; used by one event loop alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def take(self, size: int) -> None:
        if self._held + size > self._most:
            raise Overloaded(f"expected at most {self._most} bytes of bodies at once, and there are more", 1.0)
        self._held += size

    def give_back(self, size: int) -> None:
        self._held -= size


class _Body:
    """A body that is counted and timed while it is read."""

    def __init__(self, receive: Receive, most: int, patience_s: float, room: _Room | None) -> None:
        self.refused: MienError | None = None
        self._receive = receive
        self._most = most
        self._patience_s = patience_s
        self._room = room
        self._taken = 0
        self._size = 0
        self._whole = False
        self._began: float | None = None

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()  # waits for the client to leave, however long that takes
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        deadline = self._began + self._patience_s + self._size / _SLOWEST_BYTES_PER_S
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, deadline - now))
        except (TimeoutError, asyncio.TimeoutError):
            waited_s = time.monotonic() - self._began
            self.refused = TimedOut(f"the body came too slowly: {self._size} bytes in {waited_s:.1f} s")
            raise self.refused from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._whole = not message.get("more_body", False)
        else:
            self._whole = True
        return message

    def forget(self) -> None:
        """The request is answered, and its body gone."""
        if self._room is not None:
            self._room.give_back(self._taken)
            self._taken = 0

    def _count(self, size: int) -> None:
        self._size += size
        try:
            if self._size > self._most:
                raise _too_large(self._size, self._most)
            if self._room is not None:
                self._room.take(size)
                self._taken += size
        except MienError as error:
            self.refused = error
            raise


def _too_large(size: int, most: int) -> TooLarge:
    return TooLarge(f"the body: expected at most {most} bytes, got {size} or more")


async def _refuse(error: MienError, scope: Scope, receive: Receive, send: Send) -> None:
    await problem_of(error, request_id_of(scope))(scope, receive, send)


class RateLimit:
    """Token buckets, one for each name: ``burst`` requests at once, ``per_minute`` in the long run.

    Each worker counts for itself.

    Args:
        per_minute: requests a minute; 0 for no limit.
        burst: requests that may come at once after a rest.
    """

    def __init__(self, per_minute: float, burst: int) -> None:
        self._per_s = per_minute / 60
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Count a request.

        Raises:
            RateLimited: there were too many; it says when the next one may come.
        """
        wait_s = self._taken(name, 1.0)
        if wait_s > 0:
            raise RateLimited(
                f"more requests than {self._per_s * 60:g} a minute; wait {wait_s:.1f} s", retry_after_s=wait_s
            )

    def spent(self, name: str) -> bool:
        """Whether ``take`` would refuse; counts nothing."""
        return self._taken(name, 0.0) > 0

    def _taken(self, name: str, cost: float) -> float:
        """How many seconds are missing to the next token; takes one where there is one."""
        if self._per_s == 0:
            return 0.0
        now = time.monotonic()
        with self._lock:
            if cost == 0 and name not in self._buckets:
                return 0.0  # asking about names that nobody has used makes nobody's bucket be forgotten
            tokens, at = self._buckets.pop(name, (self._burst, now))
            tokens = min(self._burst, tokens + (now - at) * self._per_s)
            enough = tokens >= 1
            self._buckets[name] = (tokens - cost if enough else tokens, now)
            if len(self._buckets) > _MOST_BUCKETS:
                # The one that rested longest is most likely full again.
                self._buckets.popitem(last=False)
        return 0.0 if enough else (1 - tokens) / self._per_s
