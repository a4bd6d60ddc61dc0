"""Bodies that are too large, heads and bodies that come too slowly, and too many requests: over real sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest
from server_cases import Running

from mien.server import connections

MakeServer = Callable[..., Running]


def connected(server: Running) -> socket.socket:
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    return socket.create_connection((address.hostname, address.port), timeout=30)


def answered(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and problem of an answer; the connection may be closed after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        assert part, "the connection was closed without an answer"
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return int(head.split(b" ")[1]), json.loads(body)


def cut_off(connection: socket.socket, within_s: float) -> bool:
    """Whether the other end stops to take what is sent to it."""
    deadline = time.monotonic() + within_s
    try:
        while time.monotonic() < deadline:
            connection.sendall(bytes(1000))
            time.sleep(0.05)
    except OSError:
        return True
    return False


def request_head(path: str, *more: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *more, "", ""]).encode()


def test_a_declared_gigabyte_is_refused_before_it_comes(server: Running) -> None:
    with closing(connected(server)) as connection:
        head = request_head("/v1/detect", "Content-Type: image/jpeg", "Content-Length: 1000000000")
        connection.sendall(head)
        status, problem = answered(connection)
    assert (status, problem["code"]) == (413, "too_large")


def test_a_client_that_sends_on_still_gets_its_answer(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=100_000, max_batch_bytes=100_000)
    with server.client() as client:
        answer = client.post("/v1/detect", content=bytes(3_000_000), headers={"Content-Type": "image/jpeg"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert client.get("/livez").status_code == 200


def test_without_a_stated_length_it_is_cut_off_on_the_way(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=100_000, max_batch_bytes=100_000)
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 20_000
            yield bytes(20_000)

    with server.client() as client:
        answer = client.post("/v1/detect", content=parts(), headers={"Content-Type": "image/jpeg"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_key_is_asked_for_before_the_body_is_read(keyed_server: Running) -> None:
    with closing(connected(keyed_server)) as connection:
        connection.sendall(request_head("/v1/detect", "Content-Type: image/jpeg", "Content-Length: 5000000"))
        status, problem = answered(connection)
    assert (status, problem["code"]) == (401, "unauthorized")


def test_a_body_that_trickles(make_server: MakeServer) -> None:
    server = make_server(timeout_s=0.5)
    with closing(connected(server)) as connection:
        connection.sendall(request_head("/v1/detect", "Content-Type: image/jpeg", "Content-Length: 1000"))
        began = time.monotonic()
        connection.sendall(bytes(10))
        status, problem = answered(connection)
        assert time.monotonic() - began < 10
    assert (status, problem["code"]) == (408, "timed_out")


def test_a_body_that_comes_fast_enough_may_take_longer(make_server: MakeServer, portraits: dict[str, bytes]) -> None:
    server = make_server(timeout_s=1.0)
    image = portraits["obama"]
    part = max(1, len(image) // 6)
    with closing(connected(server)) as connection:
        length = f"Content-Length: {len(image)}"
        connection.sendall(request_head("/v1/detect", "Content-Type: image/jpeg", length))
        for start in range(0, len(image), part):
            connection.sendall(image[start : start + part])
            time.sleep(0.3)
        status, _ = answered(connection)
    assert status == 200


def test_a_head_that_trickles(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_S", 0.5)
    for sent in (b"", b"GET /livez HTTP/1.1\r\nHost: 127", b"\r\n"):
        with closing(connected(server)) as connection:
            connection.sendall(sent)
            began = time.monotonic()
            assert connection.recv(1000) == b""
            assert time.monotonic() - began < 10


def test_the_second_head_of_a_connection_that_trickles(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_S", 0.5)
    with closing(connected(server)) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answered(connection)[0] == 200
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost")
        assert connection.recv(1000) == b""


def test_a_refused_body_does_not_go_on_for_ever(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_REST_S", 0.5)
    with closing(connected(server)) as connection:
        connection.sendall(request_head("/v1/nothing", "Content-Length: 1000000000"))
        assert answered(connection)[0] in (404, 413)
        assert cut_off(connection, within_s=10)


def test_an_endless_head(server: Running) -> None:
    with closing(connected(server)) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 60_000)
        connection.sendall(b"a" * 60_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_long_requests_on_one_connection(server: Running) -> None:
    """Heads are counted one by one."""
    with server.client() as client:
        for _ in range(4):
            assert client.get("/livez", headers={"X-Long": "a" * 30_000}).status_code == 200


def test_too_many_requests(make_server: MakeServer) -> None:
    server = make_server(require_keys=True, rate_per_minute=60, rate_burst=5)
    eager, calm = server.key("read", name="eager"), server.key("read", name="calm")
    with server.client() as client:
        answers = [client.get("/v1/whoami", headers={"X-API-Key": eager}) for _ in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        refused = answers[-1]
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/v1/whoami", headers={"X-API-Key": calm}).status_code == 200
        assert client.get("/livez").status_code == 200


def test_guesses_are_limited_and_the_right_key_is_not(keyed_server: Running) -> None:
    secret = keyed_server.key("read")
    with keyed_server.client() as client:
        assert client.get("/v1/whoami", headers={"X-API-Key": secret}).status_code == 200
        wrong = secret[:-6] + "AAAAAA"
        statuses = [client.get("/v1/whoami", headers={"X-API-Key": wrong}).status_code for _ in range(12)]
        assert statuses[:10] == [401] * 10
        assert statuses[-1] == 429
        time.sleep(2.1)  # until the key is looked up again
        assert client.get("/v1/whoami", headers={"X-API-Key": secret}).status_code == 200
        assert client.get("/v1/whoami", headers={"X-API-Key": "mien_unknown"}).status_code == 401


def test_garbage_on_the_line(server: Running) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"hello\r\n\r\n",
    ):
        with closing(connected(server)) as connection:
            connection.sendall(garbage)
            assert connection.recv(1000)[:12] in (b"HTTP/1.1 400", b"")
    assert httpx.get(f"{server.url}/livez", trust_env=False).status_code == 200
