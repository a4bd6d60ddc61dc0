"""Servers for tests: a real one on a free port, and the application without a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import uvicorn
from fastapi import FastAPI

import mien
from mien.server import ServerSettings
from mien.server.app import create_app
from mien.server.connections import Connection
from mien.server.services import Services

STARTED_S = 60.0
ANSWER_S = 60.0


@dataclass(frozen=True)
class Running:
    """A server that answers at ``url``; ``services`` are those of its application."""

    url: str
    settings: ServerSettings
    services: Services

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=ANSWER_S, trust_env=False, **options)

    def key(self, *scopes: str, name: str | None = None, **more: Any) -> str:
        """A new key's secret."""
        return self.services.keys.create(name or "-".join(scopes), scopes, **more)[1]


class AppClient:
    """Calls an application as ``httpx.Client`` would, without a socket."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal, client: httpx.AsyncClient, app: FastAPI) -> None:
        self.app = app
        self.services: Services = app.state.services
        self._portal = portal
        self._client = client

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            return await self._client.request(method, url, **options)

        return self._portal.call(call)

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.request("POST", url, **options)

    def patch(self, url: str, **options: Any) -> httpx.Response:
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", url, **options)


def settings_in(folder: Path, **values: Any) -> ServerSettings:
    """Settings for tests: everything in a folder, any free port."""
    return ServerSettings(**{"data": folder / "server", "port": 0, "shutdown_s": 5.0, **values})


@contextmanager
def running(settings: ServerSettings, recognizer: mien.Recognizer) -> Iterator[Running]:
    """A server in a thread of this process inside the block."""
    app = create_app(settings, recognizer)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", settings.port)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],), name="server")
        thread.start()
        try:
            deadline = time.monotonic() + STARTED_S
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            scheme = "https" if settings.tls else "http"
            yield Running(f"{scheme}://127.0.0.1:{port}", settings, app.state.services)
        finally:
            server.should_exit = True
            thread.join(ANSWER_S)
            assert not thread.is_alive(), "the server did not stop"


@contextmanager
def app_of(settings: ServerSettings, recognizer: mien.Recognizer) -> Iterator[AppClient]:
    """The application, started, without a socket, inside the block."""
    app = create_app(settings, recognizer)
    with anyio.from_thread.start_blocking_portal() as portal, ExitStack() as stack:

        @contextmanager
        def opened() -> Iterator[httpx.AsyncClient]:
            async def enter() -> httpx.AsyncClient:
                await held.enter_async_context(app.router.lifespan_context(app))
                transport = httpx.ASGITransport(app)
                return await held.enter_async_context(
                    httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=ANSWER_S)
                )

            held = AsyncExitStack()
            client = portal.call(enter)
            try:
                yield client
            finally:
                portal.call(held.aclose)

        client = stack.enter_context(opened())
        yield AppClient(portal, client, app)
