"""The outermost layer: what browsers are told with every answer, the access log, and errors that nobody foresaw."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.server.problems import problem
from mien.server.requests import noted, request_id_of
from mien.server.settings import is_loopback

if TYPE_CHECKING:
    from mien.server.settings import ServerSettings

__all__ = ["ACCESS_LOG", "CONTENT_SECURITY_POLICY", "Envelope"]

ACCESS_LOG = "mien.server.access"
"""The logger with a line for each request: no query strings, which hold names of people, and no headers."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What the console's pages may load: from this server alone, and no scripts or styles inside a page."""

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
_YEAR_S = 31_536_000
_LOGGER = logging.getLogger("mien.server")
_ACCESS = logging.getLogger(ACCESS_LOG)
_QUIET = {"/livez", "/readyz"}


class Envelope:
    """Middleware around all others: headers, the access log, and a problem document where something broke."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._headers = dict(_HEADERS)
        if settings.tls and not is_loopback(settings.host):
            self._headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = request_id_of(scope)
        status = 0

        async def enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers["X-Request-Id"] = request_id
                if _is_private(scope["path"]):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, enveloped)
        except Exception:
            _LOGGER.exception("request %s: an error that nobody foresaw", request_id)
            if status == 0:
                answer = problem(500, "error", "the server failed; its log says why", request_id)
                await answer(scope, receive, enveloped)
        finally:
            _log(scope, status, (time.perf_counter() - began) * 1000, request_id)


def _is_private(path: str) -> bool:
    return path.startswith("/v1") or path == "/metrics"


def _log(scope: Scope, status: int, took_ms: float, request_id: str) -> None:
    """A line of the access log; what the client chose is escaped, so that it makes no lines of its own."""
    path = scope["path"].encode("unicode_escape", "backslashreplace").decode("ascii")
    caller = noted(scope, "caller")
    client = scope.get("client")
    _ACCESS.log(
        logging.DEBUG if path in _QUIET and status == 200 else logging.INFO,
        "%s %s %s %d %.1fms key=%s request=%s",
        "-" if client is None else client[0],
        scope["method"],
        path,
        status,
        took_ms,
        "-" if caller is None else caller.name.encode("unicode_escape", "backslashreplace").decode("ascii"),
        request_id,
    )
