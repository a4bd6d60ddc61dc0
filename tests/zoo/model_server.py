"""A real HTTP server on the loopback address, with ranges, redirections and connections that are cut."""

from __future__ import annotations

import hashlib
import ssl
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that hang up or refuse the certificate are what these tests are about.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@dataclass
class ModelServer:
    """Serves ``files`` until the ``with`` block ends.

    Attributes:
        files: content by path.
        redirects: target by path.
        cuts: after how many bytes of the body each request is cut off, in order; later ones are whole.
        identity: "etag", "weak", "date" or "none": by what the server names a file's version.
        lengths: whether it says how long a body is.
        certificate: a file with a certificate and its key, for HTTPS.
        requests: the path and the Range header of each request so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    identity: str = "etag"
    lengths: bool = True
    certificate: Path | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> ModelServer:
        model_server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _answer(model_server, self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str) -> str:
        """The address of ``path`` on this server."""
        scheme, host = ("http", "127.0.0.1") if self.certificate is None else ("https", "localhost")
        return f"{scheme}://{host}:{self._server.server_address[1]}{path}"


def _answer(server: ModelServer, request: BaseHTTPRequestHandler) -> None:
    wanted = request.headers.get("Range")
    server.requests.append((request.path, wanted))
    request.close_connection = True
    if request.path in server.redirects:
        request.send_response(302)
        request.send_header("Location", server.redirects[request.path])
        request.end_headers()
        return
    if request.path not in server.files:
        request.send_error(404)
        return
    content = server.files[request.path]
    names = {
        "etag": ("ETag", f'"{hashlib.sha256(content).hexdigest()[:16]}"'),
        "weak": ("ETag", 'W/"1"'),
        "date": ("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT"),
    }
    name = names.get(server.identity)
    start = 0
    if wanted is not None and name is not None and request.headers.get("If-Range") == name[1]:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    if start >= len(content) and start:
        request.send_error(416)
        return
    body = content[start:]
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if name is not None:
        request.send_header(*name)
    if server.lengths:
        request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    cut = server.cuts.pop(0) if server.cuts else len(body)
    try:
        request.wfile.write(body[:cut])
    except OSError:
        # The client hung up first, as it should when more comes than it asked for.
        return
