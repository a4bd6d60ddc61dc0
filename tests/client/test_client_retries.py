"""When a request is sent again, and what is told when it is not: against real sockets that fail as they are told to."""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import Any

import pytest
from client_running import Told, free_port, problem, scripted

from mien import AsyncClient, Client
from mien.client.call import Answer, Call
from mien.client.problems import retry_after_s
from mien.client.retrying import Broken, Retries
from mien.errors import (
    BadInput,
    ConnectionLost,
    Forbidden,
    IdentityNotFound,
    Overloaded,
    QualityRefused,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthorized,
)

KEY = "mien_0123456789_secret"
FACES = {"image": None, "size_wh": [4, 3], "faces": []}
BUSY = problem(503, "overloaded", "too much to do", {"Retry-After": "0"})


def test_a_busy_server_is_asked_again() -> None:
    with scripted(BUSY, BUSY, Told(body=FACES)) as server, Client(server.url) as client:
        assert len(client.detect(b"image")) == 0
        assert [heard.body for heard in server.heard] == [b"image"] * 3


def test_it_waits_as_long_as_the_server_asks() -> None:
    busy = problem(429, "rate_limited", "slow down", {"Retry-After": "1"})
    with scripted(busy, Told(body=FACES)) as server, Client(server.url) as client:
        started = time.monotonic()
        client.detect(b"image")
        assert time.monotonic() - started >= 1


def test_a_server_that_stays_busy_is_told_of() -> None:
    with scripted(BUSY) as server, Client(server.url, retries=2) as client:
        with pytest.raises(Overloaded, match="too much to do") as caught:
            client.detect(b"image")
        assert caught.value.retry_after_s == 0
        assert len(server.heard) == 3


def test_nobody_waits_for_an_hour() -> None:
    late = problem(429, "rate_limited", "come back later", {"Retry-After": "3600"})
    with scripted(late) as server, Client(server.url) as client:
        with pytest.raises(RateLimited) as caught:
            client.detect(b"image")
        assert caught.value.retry_after_s == 3600
        assert len(server.heard) == 1


def test_a_broken_connection_repeats_what_may_be_done_twice() -> None:
    enrolled = {"results": [{"image": None, "identity": "Ada", "template_id": 7}]}
    with scripted(Told(cut=True), Told(body=enrolled)) as server, Client(server.url) as client:
        assert client.enroll("default", "Ada", b"image").template_id == 7
        first, second = (heard.headers["idempotency-key"] for heard in server.heard)
        assert first == second
        client.enroll("default", "Ada", b"image")
        assert server.heard[2].headers["idempotency-key"] != first


def test_a_broken_connection_does_not_repeat_a_removal() -> None:
    with scripted(Told(cut=True), Told(body={"removed": 1})) as server, Client(server.url) as client:
        with pytest.raises(ConnectionLost, match="the connection broke"):
            client.gallery().remove_identity("Ada")
        assert len(server.heard) == 1


def test_a_server_that_fails_is_not_asked_again() -> None:
    failed = problem(500, "error", "the server failed; its log says why", instance="urn:mien:request:00ff")
    with scripted(failed) as server, Client(server.url) as client:
        with pytest.raises(ServerError, match=r"request 00ff") as caught:
            client.detect(b"image")
        assert server.url in caught.value.message
        assert len(server.heard) == 1


def test_a_slow_answer_is_given_up() -> None:
    with (
        scripted(Told(body=FACES, wait_s=5)) as server,
        Client(server.url, timeout_s=0.2, retries=0) as client,
        pytest.raises(ConnectionLost, match=r"no answer within 0\.2 s"),
    ):
        client.detect(b"image")


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, KEY, retries=1) as client:
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match="connection refused") as caught:
            client.galleries()
        assert url in caught.value.message
        assert time.monotonic() - started >= 0.125  # it was tried again


def test_no_key_is_shown_anywhere() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, KEY, retries=0) as client:
        with pytest.raises(ConnectionLost) as caught:
            client.detect(b"image")
        shown = "".join(traceback.format_exception(caught.value)) + repr(client) + repr(client.gallery()) + str(caught)
        assert KEY not in shown
        assert KEY not in repr(vars(client))
    with pytest.raises(BadInput) as refused:
        Client(url, "mien_ß" + KEY)
    assert KEY not in str(refused.value)
    with pytest.raises(BadInput) as refused:
        Client(f"http://me:{KEY}@127.0.0.1")
    assert KEY not in str(refused.value)


def test_a_redirect_takes_the_key_nowhere() -> None:
    with scripted(Told(body=FACES)) as other, scripted(Told(307, {}, {"Location": other.url})) as server:
        with Client(server.url, KEY) as client, pytest.raises(ServerError, match="leads to"):
            client.detect(b"image")
        assert server.heard[0].headers["authorization"] == f"Bearer {KEY}"
        assert other.heard == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401, "unauthorized", "no key"), Unauthorized),
        (problem(403, "forbidden", "not yours"), Forbidden),
        (problem(404, "identity_not_found", "no Ada"), IdentityNotFound),
        (problem(404, "not_found", "there is nothing at this path"), ServerError),
        (problem(413, "too_large", "too many bytes"), TooLarge),
        (problem(400, "something_new", "of a newer server"), ServerError),
        (Told(404, b"<html>", {"Content-Type": "text/html"}), ServerError),
        (Told(200, b"<html>", {"Content-Type": "text/html"}), ServerError),
        (Told(200, {"faces": "many"}), ServerError),
        (Told(200, ["what"]), ServerError),
        (Told(422, b"[]", {"Content-Type": "application/problem+json"}), ServerError),
    ],
)
def test_errors_are_the_librarys(answer: Told, error: type[Exception]) -> None:
    with scripted(answer) as server, Client(server.url) as client:
        with pytest.raises(error) as caught:
            client.detect(b"image")
        assert type(caught.value) is error
        assert len(server.heard) == 1


def test_a_refused_face_has_its_reasons() -> None:
    reason = {
        "name": "too_dark",
        "measure": "luminance_mean",
        "value": 0.04,
        "limit": 0.1,
        "unit": "of 1",
        "lowest": True,
    }
    with (
        scripted(problem(422, "quality_refused", "too dark", reasons=[reason])) as server,
        Client(server.url) as client,
    ):
        with pytest.raises(QualityRefused) as caught:
            client.enroll("default", "Ada", b"image")
        (found,) = caught.value.reasons
        assert str(found) == "too_dark (luminance_mean 0.04 of 1, at least 0.1 wanted)"


def test_many_requests_are_bounded_and_in_order() -> None:
    taken: list[int] = []

    def sources() -> Any:
        for number in range(24):
            taken.append(number)
            yield str(number).encode()

    with scripted(Told(body={"faces": []}, wait_s=0.05)) as server, Client(server.url) as client:
        results = client.identify_many("default", sources(), parallel=3)
        assert next(results).result == []
        assert len(taken) <= 6  # a folder is not read through before the first result is there
        assert [outcome.result for outcome in results] == [[]] * 23
        assert server.most_at_once == 3
        assert sorted(int(heard.body) for heard in server.heard) == list(range(24))


def test_a_stream_ends_where_the_server_is_lost() -> None:
    lost = problem(401, "unauthorized", "expired")
    with scripted(Told(body={"faces": []}), lost) as server, Client(server.url) as client:
        results = client.identify_many("default", (b"x" for _ in range(100)), parallel=1)
        assert next(results).result == []
        with pytest.raises(Unauthorized):
            next(results)
        assert len(server.heard) <= 4


def test_the_async_client_retries_in_the_same_way() -> None:
    async def work(url: str) -> list[int]:
        async with AsyncClient(url, KEY) as client:
            assert KEY not in repr(vars(client))
            found = [len(await client.detect(b"image"))]
            async for outcome in client.identify_many("default", (b"x" for _ in range(5)), parallel=2):
                assert not isinstance(outcome.result, Exception)
                found.append(len(outcome.result))
            return found

    with scripted(BUSY, Told(cut=True), Told(body=FACES)) as server:
        assert asyncio.run(work(server.url)) == [0] * 6
        assert len(server.heard) == 8


def test_the_async_client_tells_of_nobody_there() -> None:
    async def work() -> None:
        async with AsyncClient(f"http://127.0.0.1:{free_port()}", retries=0) as client:
            await client.gallery().summary()

    with pytest.raises(ConnectionLost, match="refused"):
        asyncio.run(work())


def test_pauses_grow_and_differ() -> None:
    call: Call[None] = Call("GET", "/", lambda _: None, repeatable=True)
    lost = Broken(ConnectionLost("gone"), sent=False)
    pauses = [{Retries(9).delay_s(call, lost, done) for _ in range(20)} for done in range(9)]
    for done, drawn in enumerate(pauses):
        longest = min(8.0, 0.25 * 2**done)
        assert all(pause is not None and longest / 2 <= pause <= longest for pause in drawn)
        assert len(drawn) > 1
    assert Retries(9).delay_s(call, lost, 9) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("inf", None), (None, None)]
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    headers = {} if text is None else {"retry-after": text}
    assert retry_after_s(Answer("u", 503, headers, b"")) == seconds


def test_retry_after_may_be_a_date() -> None:
    past = Answer("u", 503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"")
    assert retry_after_s(past) == 0
    future = retry_after_s(Answer("u", 503, {"retry-after": "Fri, 31 Dec 2999 23:59:59 GMT"}, b""))
    assert future is not None
    assert future > 1e9


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://host"},
        {"url": "host:8080"},
        {"url": "http://"},
        {"url": "http://host:99999"},
        {"url": "http://host/?a=b"},
        {"key": "two words"},
        {"key": ""},
        {"timeout_s": 0},
        {"retries": -1},
        {"verify": "no-such-file.pem"},
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Client(**{"url": "http://127.0.0.1:1", **wrong})
