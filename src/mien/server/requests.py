"""What the server notes about a request on its way in: its number, and who sent it."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

__all__ = ["header", "headers_named", "note", "noted", "request_id_of"]

_NOTES = "mien"


def note(scope: MutableMapping[str, Any], name: str, value: object) -> None:
    """Keep something with a request, for whoever works on it later."""
    scope.setdefault("state", {}).setdefault(_NOTES, {})[name] = value


def noted(scope: MutableMapping[str, Any], name: str) -> Any:
    """What was kept with a request under that name, or None."""
    return scope.get("state", {}).get(_NOTES, {}).get(name)


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """The number by which answer and log call a request: 16 hex digits."""
    found = noted(scope, "request_id")
    if found is None:
        found = secrets.token_hex(8)
        note(scope, "request_id", found)
    return str(found)


def headers_named(scope: MutableMapping[str, Any], name: str) -> list[str]:
    """The values of a header in the order of the request; names are in lower case."""
    wanted = name.encode("ascii")
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]


def header(scope: MutableMapping[str, Any], name: str) -> str | None:
    """The first value of a header, or None."""
    values = headers_named(scope, name)
    return values[0] if values else None
