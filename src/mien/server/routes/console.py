"""``/``: the web console, the files of ``server/console`` as they stand."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).resolve().parents[1] / "console"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_READ = ["GET", "HEAD"]
# Browsers keep a file and ask each time whether it is still the one: after an update no page mixes old and new.
_CACHE_CONTROL = "no-cache"

_IfNoneMatch = Annotated[str | None, Header()]


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent: its bytes, its media type, and its entity tag."""

    content: bytes
    media_type: str
    tag: str


@router.api_route("/", methods=_READ)
def page(if_none_match: _IfNoneMatch = None) -> Response:
    """The console's page; all its other pages are parts of it."""
    return _answer("index.html", if_none_match)


@router.api_route("/console", methods=_READ)
def old_address() -> Response:
    """The console under the name that people try."""
    return RedirectResponse("./")


@router.api_route("/console/{name:path}", methods=_READ)
def file(name: str, if_none_match: _IfNoneMatch = None) -> Response:
    """One of the console's scripts, styles or pictures."""
    return _answer(name, if_none_match)


def _answer(name: str, known: str | None) -> Response:
    found = _files().get(name)
    if found is None:
        raise HTTPException(404)
    headers = {"ETag": found.tag, "Cache-Control": _CACHE_CONTROL}
    if known is not None and found.tag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(None, 304, headers)
    return Response(found.content, 200, headers, found.media_type)


@functools.cache
def _files() -> dict[str, _File]:
    """All files by name, read once: a name that is not among them reaches no disk."""
    files = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[str(PurePosixPath(path.relative_to(_FOLDER)))] = _File(content, _TYPES[path.suffix], tag)
    return files
