"""Who may do what: keys and their scopes, and what keeps foreign web pages from a server that needs no key."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import anyio
import anyio.to_thread
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.errors import BadInput, Forbidden, MienError, RateLimited, Unauthorized
from mien.server.keys import SCOPES, Key, KeyRing, WrongSecret
from mien.server.limits import RateLimit
from mien.server.problems import problem_of
from mien.server.requests import header, headers_named, note, noted, request_id_of

if TYPE_CHECKING:
    from mien.server.settings import ServerSettings

__all__ = ["LOCAL", "Caller", "Gate", "require", "require_key"]

_HEALTH = ("/livez", "/readyz")
_SAFE = ("GET", "HEAD", "OPTIONS")
_PORT = re.compile(r":\d*$")
_WRONG_PER_MINUTE = 10
_HASHED_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: the key's name, or ``local`` without one.
        scopes: what it may do.
        key_id: the key's id, or None without one.
        galleries: the only galleries that it may use, or None for all.
    """

    name: str
    scopes: tuple[str, ...]
    key_id: str | None = None
    galleries: tuple[str, ...] | None = None

    def may(self, scope: str) -> bool:
        """Whether it has that scope; ``admin`` has all."""
        return scope in self.scopes or "admin" in self.scopes

    def may_use(self, gallery: str) -> bool:
        """Whether it may use that gallery at all."""
        return self.galleries is None or gallery in self.galleries

    def require_gallery(self, gallery: str) -> None:
        """Check that it may use that gallery.

        Raises:
            Forbidden: it may not, whether or not there is such a gallery.
        """
        if not self.may_use(gallery):
            raise Forbidden("this key does not open that gallery")


LOCAL = Caller("local", SCOPES)
"""Who sends requests without a key from this machine to a server that needs none."""

# For the OpenAPI document alone: the key itself was checked before.
_Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Security(HTTPBearer(auto_error=False, scheme_name="bearer", description="A key that `mien keys create` made.")),
]
_Header = Annotated[
    str | None,
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="header", description="The same key.")),
]


def require(scope: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that gives the request's ``Caller``, if its key has the scope and opens the path's ``gallery``.

    Raises:
        ValueError: there is no such scope.
    """
    if scope not in SCOPES:
        raise ValueError(f"expected one of {', '.join(SCOPES)}, got {scope!r}")

    async def required(request: Request, _bearer: _Bearer, _header: _Header) -> Caller:
        caller = _caller_of(request)
        if not caller.may(scope):
            raise Forbidden(f"this needs a key of the scope {scope}; this key has {', '.join(caller.scopes)}")
        gallery = request.path_params.get("gallery")
        if gallery is not None:
            caller.require_gallery(str(gallery))
        return caller

    required.scope = scope  # type: ignore[attr-defined]
    return required


async def require_key(request: Request, _bearer: _Bearer, _header: _Header) -> Caller:
    """A dependency that gives the request's ``Caller``, whatever its scopes."""
    return _caller_of(request)


def _caller_of(request: Request) -> Caller:
    caller = noted(request.scope, "caller")
    if not isinstance(caller, Caller):
        raise Unauthorized("this needs a key")
    return caller


class Gate:
    """Middleware that finds out who calls before a byte of the body is read, and counts the calls.

    Args:
        app: what is behind it.
        settings: whether keys are needed, by which names the server is called, and how often.
        keys: gives the keys, once the server has opened them.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, keys: Callable[[], KeyRing]) -> None:
        self._app = app
        self._needed = settings.keys_needed
        self._hosts = settings.hosts
        self._scheme = "https" if settings.tls else "http"
        self._keys = keys
        self._rate = RateLimit(settings.rate_per_minute, settings.rate_burst)
        self._wrong = RateLimit(_WRONG_PER_MINUTE, _WRONG_PER_MINUTE)

    @functools.cached_property
    def _hashing(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(_HASHED_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if scope["type"] == "http":
            try:
                await self._admit(scope)
            except MienError as error:
                await problem_of(error, request_id_of(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        path = scope["path"]
        if path in _HEALTH:
            return
        self._require_host(scope)
        if not (path.startswith("/v1") or path == "/metrics"):
            return
        secret = _secret(scope)
        if secret is None:
            if self._needed:
                raise Unauthorized("this server needs a key: Authorization: Bearer mien_…")
            self._require_own_page(scope)
            caller = LOCAL
        else:
            key = self._keys().known(secret)
            if key is None:
                key = await self._checked(secret, scope)
            caller = Caller(key.name, key.scopes, key.id, key.galleries)
        note(scope, "caller", caller)
        self._rate.take(caller.key_id or "")

    def _require_host(self, scope: Scope) -> None:
        """Keep out pages whose server's name was made to point here (DNS rebinding): their ``Host`` is not ours."""
        hosts = headers_named(scope, "host")
        if len(hosts) != 1:
            raise BadInput(f"expected one Host header, got {len(hosts)}")
        name = _PORT.sub("", hosts[0]).strip("[]").lower()
        if "*" not in self._hosts and name not in self._hosts:
            raise Forbidden("the server is not called by this name; its setting trusted_hosts names those that it has")

    def _require_own_page(self, scope: Scope) -> None:
        """Keep out what pages of other origins let a browser on this machine send."""
        if header(scope, "sec-fetch-site") in ("cross-site", "same-site"):
            raise Forbidden("the request came from a page of another origin")
        origin = header(scope, "origin")
        if origin is None or scope["method"] in _SAFE:
            return
        if origin.lower() != f"{self._scheme}://{header(scope, 'host')}".lower():
            raise Forbidden("the request came from a page of another origin")

    async def _checked(self, secret: str, scope: Scope) -> Key:
        """Check a key in a thread; whoever guesses at a key that exists may not keep the processor busy with it."""
        client = scope.get("client")
        # Not by the client alone: behind a proxy all clients are one.
        guess = f"{None if client is None else client[0]} {secret[:18]}"
        keys = self._keys()
        if self._wrong.spent(guess) and not keys.seen(secret):
            raise RateLimited("too many wrong keys", retry_after_s=60 / _WRONG_PER_MINUTE)
        try:
            return await anyio.to_thread.run_sync(keys.check, secret, limiter=self._hashing)
        except WrongSecret:
            # Several may have been under way when the last token went.
            with contextlib.suppress(RateLimited):
                self._wrong.take(guess)
            raise


def _secret(scope: Scope) -> str | None:
    """The key that a request brings, or None."""
    given = header(scope, "authorization")
    if given is not None:
        kind, _, secret = given.partition(" ")
        if kind.lower() == "bearer" and secret.strip():
            return secret.strip()
        raise Unauthorized("Authorization: expected Bearer and a key")
    return header(scope, "x-api-key")
