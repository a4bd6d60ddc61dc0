"""``AsyncClient``: ``Client`` for programs that await; it sends the very same calls."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from mien.client import calls, gallery_calls, job_calls
from mien.client.address import Address, trust
from mien.client.call import Answer, Call, Talk
from mien.client.job_calls import Job
from mien.client.making import awaits, awaits_named, awaits_talk
from mien.client.problems import require_good
from mien.client.retrying import Broken, Retries
from mien.client.sending import answer_of, broken, check_limits, httpx_options, request_options, require_httpx
from mien.client.streams import in_order_async, of_image
from mien.errors import MienError
from mien.images import ImageSource
from mien.recognizer import FaceChoice, Outcome
from mien.types import Enrollment, Match

__all__ = ["AsyncClient", "AsyncRemoteGallery"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_POLL_S = 0.5


class AsyncRemoteGallery:
    """A gallery on a server; ``AsyncClient.gallery`` makes it. Its methods are those of ``RemoteGallery``, awaited.

    Args:
        client: asks the server.
        name: the gallery's name.

    Raises:
        BadInput: no gallery of a server can have that name.
    """

    def __init__(self, client: AsyncClient, name: str) -> None:
        gallery_calls.place(name)
        self.client = client
        self.name = name

    @property
    def url(self) -> str:
        """Where it is."""
        return self.client.url + gallery_calls.place(self.name)

    summary = awaits_named(gallery_calls.summary)
    add = awaits_named(gallery_calls.add)
    remove_identity = awaits_named(gallery_calls.remove_identity)
    remove_template = awaits_named(gallery_calls.remove_template)
    rename = awaits_named(gallery_calls.rename)
    identities = awaits_talk(gallery_calls.identities)
    count_identities = awaits_named(gallery_calls.count_identities)
    templates = awaits_named(gallery_calls.templates)
    template_ids = awaits_named(gallery_calls.template_ids)
    portrait = awaits_named(gallery_calls.portrait)
    tags = awaits_named(gallery_calls.tags)
    set_tags = awaits_named(gallery_calls.set_tags)
    search = awaits_named(gallery_calls.search)
    enroll = awaits_named(gallery_calls.enroll)
    identify = awaits_named(gallery_calls.identify)
    delete = awaits_named(gallery_calls.delete_gallery)

    def __repr__(self) -> str:
        return f"AsyncRemoteGallery({self.url!r})"


class AsyncClient:
    """A mien server for programs that await; arguments, methods, results and errors are those of ``Client``.

    Files are read and pictures encoded in threads. ``enroll_many`` and ``identify_many`` need asyncio; the rest runs
    under trio as well.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retries: int = 3,
        verify: bool | str | os.PathLike[str] = True,
    ) -> None:
        check_limits(timeout_s, retries)
        self._address = Address.of(url, key)
        self._timeout_s = timeout_s
        self._retries = Retries(retries)
        self._errors = require_httpx().TransportError
        self._http = require_httpx().AsyncClient(**httpx_options(self._address, timeout_s, trust(verify)))

    @property
    def url(self) -> str:
        """The server's address."""
        return self._address.url

    detect = awaits(calls.detect)
    analyze = awaits(calls.analyze)
    assess = awaits(calls.assess)
    verify = awaits(calls.verify)
    compare = awaits(calls.compare)
    scores = awaits(calls.scores)
    models = awaits(calls.models)
    version = awaits(calls.version)
    whoami = awaits(calls.whoami)
    calibration = awaits(calls.calibration)
    enroll = awaits(gallery_calls.enroll)
    identify = awaits(gallery_calls.identify)
    search = awaits(gallery_calls.search)
    galleries = awaits(gallery_calls.galleries)
    create_gallery = awaits(gallery_calls.create_gallery)
    delete_gallery = awaits(gallery_calls.delete_gallery)
    jobs = awaits(job_calls.jobs)
    job = awaits(job_calls.job)
    cancel_job = awaits(job_calls.cancel_job)
    start_enrolling = awaits(job_calls.start_enrolling)
    start_migrating = awaits(job_calls.start_migrating)

    def gallery(self, name: str = "default") -> AsyncRemoteGallery:
        """The gallery of that name; nothing is asked of the server yet."""
        return AsyncRemoteGallery(self, name)

    def enroll_many(
        self,
        gallery: str,
        items: Iterable[tuple[str, ImageSource]] | AsyncIterable[tuple[str, ImageSource]],
        *,
        face: FaceChoice = "single",
        tags: Collection[str] = (),
        parallel: int = 4,
    ) -> AsyncIterator[Outcome[Enrollment]]:
        """See ``Client.enroll_many``."""
        return self.each(
            lambda item: gallery_calls.enroll(gallery, item[0], item[1], face=face, tags=tags), items, parallel
        )

    def identify_many(
        self,
        gallery: str,
        sources: Iterable[ImageSource] | AsyncIterable[ImageSource],
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        parallel: int = 4,
    ) -> AsyncIterator[Outcome[list[list[Match]]]]:
        """See ``Client.identify_many``."""
        return self.each(
            lambda source: gallery_calls.identify(gallery, source, top=top, threshold=threshold, tags=tags),
            sources,
            parallel,
        )

    def each(
        self,
        describe: Callable[[_Item], Call[_Result]],
        items: Iterable[_Item] | AsyncIterable[_Item],
        parallel: int = 4,
    ) -> AsyncIterator[Outcome[_Result]]:
        """See ``Client.each``."""

        async def one(item: _Item) -> Outcome[_Result]:
            try:
                call = await self.described(partial(describe, item))
                found = await self.send(call)
                return Outcome(None, found)
            except MienError as error:
                if not of_image(error):
                    raise
                return Outcome(None, error)

        return in_order_async(one, items, parallel)

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """See ``Client.wait``."""
        import anyio

        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = await self.send(job_calls.job(job_id))
            if found.over or (until is not None and time.monotonic() >= until):
                return found
            await anyio.sleep(_POLL_S)

    async def described(self, describe: Callable[[], Call[_Result]]) -> Call[_Result]:
        """A call, described in a thread: that may read a file."""
        import anyio.to_thread

        return await anyio.to_thread.run_sync(describe)

    async def send(self, call: Call[_Result]) -> _Result:
        """See ``Client.send``."""
        import anyio

        done = 0
        while True:
            outcome = await self._once(call)
            pause_s = self._retries.delay_s(call, outcome, done)
            if pause_s is None:
                break
            await anyio.sleep(pause_s)
            done += 1
        if isinstance(outcome, Broken):
            raise outcome.error
        require_good(call, outcome)
        return call.result(outcome)

    async def talk(self, conversation: Talk[_Result]) -> _Result:
        """See ``Client.talk``."""
        result: Any = None
        while True:
            try:
                call = conversation.send(result)
            except StopIteration as end:
                found: _Result = end.value
                return found
            result = await self.send(call)

    async def _once(self, call: Call[Any]) -> Answer | Broken:
        try:
            response = await self._http.request(url=self.url + call.path, **request_options(call))
        except self._errors as error:
            return broken(self._address, error, self._timeout_s)
        return answer_of(self._address, response)

    async def close(self) -> None:
        """Give back the connections; closing twice is fine."""
        await self._http.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def __aenter__(self) -> AsyncClient:
        """The client itself, closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()
