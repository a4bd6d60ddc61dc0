"""``Client``: a server's faces, galleries and jobs, called as the library is."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from mien.client import calls, gallery_calls, job_calls
from mien.client.address import Address, trust
from mien.client.call import Answer, Call, Talk
from mien.client.gallery import RemoteGallery
from mien.client.job_calls import Job
from mien.client.making import sends
from mien.client.problems import require_good
from mien.client.retrying import Broken, Retries
from mien.client.sending import answer_of, broken, check_limits, httpx_options, request_options, require_httpx
from mien.client.streams import in_order, of_image
from mien.errors import MienError
from mien.images import ImageSource
from mien.recognizer import FaceChoice, Outcome
from mien.types import Enrollment, Match

__all__ = ["Client"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_POLL_S = 0.5


class Client:
    """A mien server, called as the library is: the results are its types, the errors its errors.

    Images are given as to ``Recognizer``: files are sent as they are, arrays and Pillow images as PNG. Safe to use from
    many threads. A request is sent again, after a pause, where that is safe: when nobody was there, when the server
    says that it was too busy, and otherwise if doing it twice is as good as doing it once.

    Args:
        url: the server's address, such as ``http://127.0.0.1:8080``.
        key: an API key, where the server wants one.
        timeout_s: how long to wait for an answer, each time.
        retries: how often a request is sent again at most.
        verify: how the server's certificate is checked: True for the usual authorities, a file of PEM certificates for
            one's own, False not at all.

    Raises:
        BadInput: an argument is out of range, or the address is none.
        MissingExtra: httpx is not installed.

    Every call may raise ``ConnectionLost`` (nobody there, or no answer in time), ``Unauthorized``, ``Forbidden``,
    ``RateLimited``, ``Overloaded``, ``TooLarge`` and ``ServerError``.
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
        self._http = require_httpx().Client(**httpx_options(self._address, timeout_s, trust(verify)))
        # Who lets go of a client without closing it leaves no connection open either.
        weakref.finalize(self, self._http.close)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._address.url

    detect = sends(calls.detect)
    analyze = sends(calls.analyze)
    assess = sends(calls.assess)
    verify = sends(calls.verify)
    compare = sends(calls.compare)
    scores = sends(calls.scores)
    models = sends(calls.models)
    version = sends(calls.version)
    whoami = sends(calls.whoami)
    calibration = sends(calls.calibration)
    enroll = sends(gallery_calls.enroll)
    identify = sends(gallery_calls.identify)
    search = sends(gallery_calls.search)
    galleries = sends(gallery_calls.galleries)
    create_gallery = sends(gallery_calls.create_gallery)
    delete_gallery = sends(gallery_calls.delete_gallery)
    jobs = sends(job_calls.jobs)
    job = sends(job_calls.job)
    cancel_job = sends(job_calls.cancel_job)
    start_enrolling = sends(job_calls.start_enrolling)
    start_migrating = sends(job_calls.start_migrating)

    def gallery(self, name: str = "default") -> RemoteGallery:
        """The gallery of that name; nothing is asked of the server yet."""
        return RemoteGallery(self, name)

    def enroll_many(
        self,
        gallery: str,
        items: Iterable[tuple[str, ImageSource]],
        *,
        face: FaceChoice = "single",
        tags: Collection[str] = (),
        parallel: int = 4,
    ) -> Iterator[Outcome[Enrollment]]:
        """Enroll a stream of (identity, image), a bounded number at once; results in order, in constant memory.

        What has come out of the iterator is stored. Errors of single images come as outcomes; any other, such as
        a lost connection, is raised.

        Args:
            gallery: the gallery's name.
            items: identity and image of each; taken as they are needed.
            face: ``"largest"`` takes the largest face where an image shows several.
            tags: words to find the people by.
            parallel: how many requests at once.
        """
        return self.each(
            lambda item: gallery_calls.enroll(gallery, item[0], item[1], face=face, tags=tags), items, parallel
        )

    def identify_many(
        self,
        gallery: str,
        sources: Iterable[ImageSource],
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        parallel: int = 4,
    ) -> Iterator[Outcome[list[list[Match]]]]:
        """``identify`` for a stream of images; order, errors and ``parallel`` as for ``enroll_many``."""
        return self.each(
            lambda source: gallery_calls.identify(gallery, source, top=top, threshold=threshold, tags=tags),
            sources,
            parallel,
        )

    def each(
        self, describe: Callable[[_Item], Call[_Result]], items: Iterable[_Item], parallel: int = 4
    ) -> Iterator[Outcome[_Result]]:
        """The outcome of a call for each item, in order; what ``enroll_many`` is made of."""

        def one(item: _Item) -> Outcome[_Result]:
            try:
                return Outcome(None, self.send(describe(item)))
            except MienError as error:
                if not of_image(error):
                    raise
                return Outcome(None, error)

        return in_order(one, items, parallel)

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """A job, once it is over; or as it is when the time is up."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = self.send(job_calls.job(job_id))
            if found.over or (until is not None and time.monotonic() >= until):
                return found
            time.sleep(_POLL_S)

    def send(self, call: Call[_Result]) -> _Result:
        """Send a described call, again if need be; its result."""
        done = 0
        while True:
            outcome = self._once(call)
            pause_s = self._retries.delay_s(call, outcome, done)
            if pause_s is None:
                break
            time.sleep(pause_s)
            done += 1
        if isinstance(outcome, Broken):
            raise outcome.error
        require_good(call, outcome)
        return call.result(outcome)

    def talk(self, conversation: Talk[_Result]) -> _Result:
        """Send the calls of a conversation; its result."""
        result: Any = None
        while True:
            try:
                result = self.send(conversation.send(result))
            except StopIteration as end:
                found: _Result = end.value
                return found

    def _once(self, call: Call[Any]) -> Answer | Broken:
        try:
            response = self._http.request(url=self.url + call.path, **request_options(call))
        except self._errors as error:
            return broken(self._address, error, self._timeout_s)
        return answer_of(self._address, response)

    def close(self) -> None:
        """Give back the connections; closing twice is fine."""
        self._http.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Client:
        """The client itself, closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()
