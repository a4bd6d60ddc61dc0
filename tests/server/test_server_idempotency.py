"""Requests that are sent again with their key: done once, also at the same time, and no other's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from server_cases import Running

from mien.errors import BadInput, GalleryError, IdempotencyMismatch, Overloaded
from mien.server.idempotency import SCHEMA, Answer, Idempotency, digest_of
from mien.server.state import State

PLACE = ("ada", "enroll people")


def enroll(client: httpx.Client, image: bytes, key: str, gallery: str = "default") -> httpx.Response:
    headers = {"Content-Type": "image/jpeg", "Idempotency-Key": key}
    return client.post(f"/v1/galleries/{gallery}/enroll", params={"identity": "Ada"}, content=image, headers=headers)


def test_a_repeat_gets_the_first_answer_and_stores_nothing(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client:
        first = enroll(client, portraits["obama"], "one")
        again = enroll(client, portraits["obama"], "one")
        other = enroll(client, portraits["obama"], "two")
        mixed_up = enroll(client, portraits["biden"], "one")
    assert first.status_code == again.status_code == other.status_code == 200
    assert again.json() == first.json() != other.json()
    assert (mixed_up.status_code, mixed_up.json()["code"]) == (422, "idempotency_mismatch")
    assert dict(server.services.places.get("default").identities()) == {"Ada": 2}


def test_repeats_at_the_same_time_are_done_once(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: enroll(client, portraits["obama"], "same"), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert dict(server.services.places.get("default").identities()) == {"Ada": 1}


def test_keys_of_two_callers_and_of_two_galleries_are_different_keys(
    keyed_server: Running, portraits: dict[str, bytes]
) -> None:
    key = keyed_server.key
    admin, ada, ben = key("admin", name="root"), key("enroll", name="ada"), key("enroll", name="ben")
    with keyed_server.client() as client:
        for secret in (ada, ben):
            client.headers["Authorization"] = f"Bearer {secret}"
            assert enroll(client, portraits["obama"], "k").status_code == 200
        client.headers["Authorization"] = f"Bearer {admin}"
        assert client.post("/v1/galleries", json={"name": "other"}).status_code == 201
        client.headers["Authorization"] = f"Bearer {ada}"
        assert enroll(client, portraits["obama"], "k", "other").status_code == 200
    assert dict(keyed_server.services.places.get("default").identities()) == {"Ada": 2}
    assert dict(keyed_server.services.places.get("other").identities()) == {"Ada": 1}


def test_a_failed_request_is_done_anew(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client:
        assert enroll(client, portraits["obama"], "late", "missing").status_code == 404
        assert client.post("/v1/galleries", json={"name": "missing"}).status_code == 201
        assert enroll(client, portraits["obama"], "late", "missing").status_code == 200


@contextmanager
def idempotency(folder: Path, wait_s: float = 5.0) -> Iterator[Idempotency]:
    state = State(folder / "server.db", (SCHEMA,))
    found = Idempotency(state, wait_s=wait_s)
    try:
        yield found
    finally:
        found.close()
        state.close()


def test_what_failed_half_way_is_asked_for_before_it_is_done_anew(tmp_path: Path) -> None:
    calls: list[str] = []

    async def breaks() -> Answer:
        calls.append("work")
        raise GalleryError("the connection broke")

    async def works() -> Answer:
        calls.append("work")
        return 200, {"id": 7}

    async def recover(note: object) -> Answer | None:
        calls.append(f"recover {note}")
        return None

    async def both() -> Answer:
        with idempotency(tmp_path) as once:
            with pytest.raises(GalleryError):
                await once.run(*PLACE, "k", "d", breaks, note=[1], recover=recover)
            return await once.run(*PLACE, "k", "d", works, note=[2], recover=recover)

    assert asyncio.run(both()) == (200, {"id": 7})
    assert calls == ["work", "recover [1]", "work"]


def test_who_comes_while_it_is_under_way_waits_and_not_for_ever(tmp_path: Path) -> None:
    async def slow() -> Answer:
        await asyncio.sleep(0.6)
        return 200, "done"

    async def two(wait_s: float) -> list[object]:
        with idempotency(tmp_path / str(wait_s), wait_s) as once:
            first = asyncio.create_task(once.run(*PLACE, "k", "d", slow))
            await asyncio.sleep(0.1)
            second = once.run(*PLACE, "k", "d", slow)
            return list(await asyncio.gather(first, second, return_exceptions=True))

    for wait_s in (5.0, 0.1):
        (tmp_path / str(wait_s)).mkdir()
    assert asyncio.run(two(5.0)) == [(200, "done"), (200, "done")]
    first, second = asyncio.run(two(0.1))
    assert first == (200, "done")
    assert isinstance(second, Overloaded)


@pytest.mark.parametrize("key", ["", "x" * 256, "with\nline", "päivä"])
def test_keys_are_visible_ascii_of_some_length(tmp_path: Path, key: str) -> None:
    async def run() -> Answer:
        async def work() -> Answer:
            return 200, None

        with idempotency(tmp_path) as once:
            return await once.run(*PLACE, key, "d", work)

    with pytest.raises(BadInput, match="Idempotency-Key"):
        asyncio.run(run())


def test_another_request_with_the_key_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async def work() -> Answer:
            return 200, None

        with idempotency(tmp_path) as once:
            await once.run(*PLACE, "k", digest_of("a", b"b"), work)
            await once.run(*PLACE, "k", digest_of("a", b"b"), work)
            await once.run(*PLACE, "k", digest_of("ab", b""), work)

    with pytest.raises(IdempotencyMismatch):
        asyncio.run(run())
