"""The routes of the application, as it has them, with what each asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_EXAMPLES = {"gallery": "default", "template_id": "1", "job_id": "0" * 32, "key_id": "abcdefghijkl", "name": "app.js"}


@dataclass(frozen=True)
class Asked:
    """A route's method and path, the path with values in it, and the scope that it asks for (None for none)."""

    method: str
    path: str
    filled: str
    scope: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(app: FastAPI) -> list[Asked]:
    """All routes, however deep routers are included in one another."""
    return [asked for route in app.routes for asked in _asked(route)]


def _asked(route: Any) -> Iterator[Asked]:
    included = getattr(route, "original_router", None)
    if included is not None:
        for inner in included.routes:
            yield from _asked(inner)
        return
    filled = _PARAMETER.sub(lambda found: _EXAMPLES[found[1]], route.path)
    dependant = getattr(route, "dependant", None)
    scopes = [] if dependant is None else list(_scopes(dependant))
    for method in sorted(set(route.methods) - {"HEAD"}):
        yield Asked(method, route.path, filled, scopes[0] if scopes else None)


def _scopes(dependant: Any) -> Iterator[str]:
    for inner in dependant.dependencies:
        scope = getattr(inner.call, "scope", None)
        if scope is not None:
            yield scope
        yield from _scopes(inner)
