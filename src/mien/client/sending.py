"""httpx, told how to reach a server, and its failures in the library's words; all that the two clients share."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

from mien.client.address import Address
from mien.client.call import Answer, Call
from mien.client.retrying import Broken
from mien.errors import BadInput, ConnectionLost, MissingExtra

if TYPE_CHECKING:
    import httpx

__all__ = ["answer_of", "broken", "check_limits", "httpx_options", "request_options", "require_httpx"]

_CONNECTIONS = 64


def require_httpx() -> Any:
    """The package httpx.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("the client of a server needs httpx: pip install 'mien[client]'") from error
    return httpx


def check_limits(timeout_s: float, retries: int) -> None:
    """Refuse what makes no sense.

    Raises:
        BadInput: a number is out of range.
    """
    if not 0 < timeout_s <= 86_400:
        raise BadInput(f"timeout_s: expected more than 0 and at most 86400 seconds, got {timeout_s}")
    if not isinstance(retries, int) or not 0 <= retries <= 100:
        raise BadInput(f"retries: expected 0 to 100, got {retries}")


def httpx_options(address: Address, timeout_s: float, verify: ssl.SSLContext | bool) -> dict[str, Any]:
    """What an httpx client is made with; redirects are not followed, so that no key goes elsewhere."""
    httpx = require_httpx()
    return {
        "headers": address.headers,
        "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
        # Loading the authorities takes a third of a second, and nothing of it is needed without TLS.
        "verify": verify if address.url.startswith("https:") else False,
        "limits": httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
        "trust_env": not address.local,
    }


def request_options(call: Call[Any]) -> dict[str, Any]:
    """A call's method, query, headers and body, as httpx takes them."""
    options: dict[str, Any] = {"method": call.method, "headers": dict(call.headers)}
    parameters = call.parameters()
    if parameters:
        options["params"] = parameters
    if call.files:
        options["files"] = [(field, (name, content, "application/octet-stream")) for field, name, content in call.files]
    elif call.json is not None:
        options["json"] = call.json
    elif call.body is not None:
        options["content"] = call.body
    return options


def answer_of(address: Address, response: httpx.Response) -> Answer:
    """A response as plain data."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(address.url, response.status_code, headers, response.content)


def broken(address: Address, error: Exception, timeout_s: float) -> Broken:
    """What httpx's failure means.

    Args:
        address: who was asked.
        error: an ``httpx.TransportError``.
        timeout_s: for the message.
    """
    httpx = require_httpx()
    sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    if isinstance(error, httpx.TimeoutException):
        lost = ConnectionLost(f"{address.url}: no answer within {timeout_s:g} s")
        return Broken(lost, sent)
    refused = _refused_by_tls(error)
    if refused is not None:
        return Broken(ConnectionLost(f"{address.url}: {refused}"), False, True)
    reason = _reason(error)
    what = "the connection broke" if sent else "cannot be reached"
    hopeless = isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError))
    return Broken(ConnectionLost(f"{address.url}: {what}: {reason}"), sent, hopeless)


def _refused_by_tls(error: BaseException | None) -> str | None:
    """Why no TLS connection came about, if that was the cause."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            # What a server without TLS sends is none of its versions.
            hint = "; is its address http://?" if error.reason == "WRONG_VERSION_NUMBER" else ""
            return f"no TLS connection: {error.reason or error}{hint}"
        error = error.__cause__ or error.__context__
    return None


def _reason(error: BaseException) -> str:
    """The system's own words for a failure, where there are some."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno is not None:
            # asyncio has words of its own, which repeat the address; only name look-ups have codes of their own.
            text = found.strerror if isinstance(found, socket.gaierror) else os.strerror(found.errno)
            return str(text).lower()
        found = found.__cause__ or found.__context__
    return str(error) or type(error).__name__
