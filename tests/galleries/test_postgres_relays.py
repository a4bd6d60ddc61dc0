"""PostgreSQL galleries where no news of changes arrives: on a standby server, and behind a connection pooler."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from gallery_cases import faces
from postgres_server import PostgresServer, postgres_server

from mien.errors import ConnectionLost, GalleryError
from mien.galleries import Gallery, open_gallery
from mien.galleries.sql.postgres import PostgresDatabase
from mien.galleries.urls import parse_url


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.url(server.emptied_database())


def elsewhere(url: str, port: int) -> str:
    """The same database through another port."""
    return re.sub(r":\d+/", f":{port}/", url)


def opened_when_ready(url: str) -> Gallery:
    deadline = time.monotonic() + 30
    while True:
        try:
            return open_gallery(url)
        except ConnectionLost:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_standby_server_is_searched(server: PostgresServer, url: str) -> None:
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(1))
        with server.standby() as port, opened_when_ready(elsewhere(url, port)) as standby:
            assert standby.search(faces(1))[0][0].identity == "Ada"
            gallery.add("Bob", faces(1, seed=1))
            deadline = time.monotonic() + 10
            while standby.search(faces(1, seed=1))[0][0].identity != "Bob":
                assert time.monotonic() < deadline
            with pytest.raises(GalleryError, match="read-only"):
                standby.add("Cleo", faces(1, seed=2))


def relay(source: socket.socket, target: socket.socket, forge: bool) -> None:
    """Pass bytes on; a pooler's server processes have other numbers than those it tells its clients."""
    with suppress(OSError):
        while data := source.recv(65_536):
            if forge:
                # BackendKeyData, https://www.postgresql.org/docs/current/protocol-message-formats.html
                data = re.sub(rb"K\0\0\0\x0c.{4}", b"K\0\0\0\x0c\0\0\0\x07", data, flags=re.DOTALL)
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def pooler(port: int) -> Iterator[int]:
    """Stands between clients and a server on loopback as a pooler does; its port."""
    sockets: list[socket.socket] = []

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                upstream = socket.create_connection(("127.0.0.1", port))
                sockets.extend((client, upstream))
                for ends in ((client, upstream, False), (upstream, client, True)):
                    threading.Thread(target=relay, args=ends, daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
    for one in sockets:
        one.close()


def test_behind_a_pooler_every_look_counts_as_a_change(server: PostgresServer, url: str) -> None:
    with pooler(server.port) as port:
        database = PostgresDatabase(parse_url(elsewhere(url, port)), create=True)
        for _ in range(10):
            assert database.version() != database.version()
            time.sleep(0.1)
        database.close()
        with open_gallery(url) as gallery, open_gallery(elsewhere(url, port)) as pooled:
            for seed in range(3):
                gallery.add(f"person {seed}", faces(1, seed=seed))
                assert pooled.search(faces(1, seed=seed))[0][0].identity == f"person {seed}"
