"""What routes answer with: compact JSON, and 304 where the client has it already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.responses import Response

__all__ = ["answer", "answer_unless_known"]


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    return Response(_encoded(value), status, headers, "application/json")


def answer_unless_known(request: Request, value: object) -> Response:
    """A value as JSON with its ``ETag``; 304 without a body if the request's ``If-None-Match`` names it."""
    body = _encoded(value)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(None, 304, headers)
    return Response(body, 200, headers, "application/json")


def _encoded(value: Any) -> bytes:
    # ASCII with escapes carries every text, halves of surrogate pairs in file names too.
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
