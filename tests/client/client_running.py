"""Servers for the client's tests: mien's own, and a small one that answers what a test tells it to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBLEM = "application/problem+json"


@dataclass
class Told:
    """What one request gets: a status, a body and headers; or, with ``cut``, the end of the connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    wait_s: float = 0.0


@dataclass
class Heard:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Scripted:
    """A real HTTP server that answers its requests by a list, the last entry for ever, and keeps what it heard."""

    def __init__(self, answers: list[Told]) -> None:
        self.heard: list[Heard] = []
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.url = ""
        self.most_at_once = 0
        self._at_once = 0
        self.stopped = threading.Event()

    def next(self, heard: Heard) -> Told:
        with self._lock:
            self.heard.append(heard)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def entered(self, step: int) -> None:
        with self._lock:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Told:
    """A problem document, as mien's server sends it."""
    members = {"type": f"urn:mien:error:{code}", "title": "t", "status": status, "detail": detail, "code": code, **more}
    return Told(status, members, {"Content-Type": PROBLEM, **(headers or {})})


@contextmanager
def scripted(*answers: Told) -> Iterator[Scripted]:
    """A ``Scripted`` server on a free port inside the block."""
    script = Scripted(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            heard = Heard(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            told = script.next(heard)
            script.entered(1)
            script.stopped.wait(told.wait_s)
            script.entered(-1)
            if told.cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
            self.send_response(told.status)
            for name, value in {"Content-Type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        script.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
