"""Bodies of many requests at once: together they may take so much memory and no more."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from server_cases import Running

from mien.errors import BadSettings
from mien.server import ServerSettings

MakeServer = Callable[..., Running]
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def small(make_server: MakeServer) -> Running:
    return make_server(max_body_bytes=100_000, max_batch_bytes=100_000, max_bytes_in_flight=200_000)


def held_open(server: Running, size: int, *more: str) -> socket.socket:
    """A connection with a request whose last byte does not come."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    connection = socket.create_connection((address.hostname, address.port or 0), timeout=30)
    head = ["POST /v1/detect HTTP/1.1", "Host: 127.0.0.1", "Content-Type: image/jpeg", f"Content-Length: {size + 1}"]
    connection.sendall("\r\n".join([*head, *more, "", ""]).encode() + bytes(size))
    return connection


def settled(server: Running, body: bytes, status: int) -> bool:
    """Whether a body is answered like that before long: what other connections sent comes when it comes."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with server.client() as client:
            if client.post("/v1/detect", content=body, headers=JPEG).status_code == status:
                return True
        time.sleep(0.05)
    return False


def test_past_the_limit_bodies_are_refused_until_others_are_gone(small: Running) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(held_open(small, 90_000))
        assert settled(small, bytes(90_000), 503)
        with small.client() as client:
            answer = client.post("/v1/detect", content=bytes(90_000), headers=JPEG)
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1
            # What asks for little is still answered.
            assert client.get("/v1/galleries").status_code == 200
    assert settled(small, bytes(90_000), 422)


def test_what_is_promised_takes_no_room(small: Running) -> None:
    with ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(held_open(small, 0, "X-More: 1"))
            connection.sendall(b"")
        assert settled(small, bytes(90_000), 422)


def test_answered_and_refused_bodies_give_their_room_back(small: Running) -> None:
    with small.client() as client:
        for _ in range(5):
            assert client.post("/v1/detect", content=bytes(90_000), headers=JPEG).status_code == 422
            assert client.post("/v1/detect", content=iter([bytes(90_000)] * 2), headers=JPEG).status_code == 413


def test_the_limit_has_room_for_the_largest_body() -> None:
    with pytest.raises(BadSettings, match="max_bytes_in_flight: expected at least twice max_batch_bytes"):
        ServerSettings(max_batch_bytes=300_000_000)
