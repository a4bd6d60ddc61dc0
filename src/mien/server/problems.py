"""Errors as answers: RFC 9457 problem documents with mien's stable codes."""

from __future__ import annotations

import errno
import http
import json
import logging
import math
import os
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from mien.errors import MienError, Overloaded, QualityRefused, RateLimited
from mien.server.advice import reason_records
from mien.server.requests import request_id_of

__all__ = ["MEDIA_TYPE", "fault_record", "install", "problem", "problem_of", "status_of"]

MEDIA_TYPE = "application/problem+json"

_LOGGER = logging.getLogger("mien.server")
_STATUS = {
    "bad_input": 422,
    "bad_image": 422,
    "no_face": 422,
    "several_faces": 422,
    "quality_refused": 422,
    "idempotency_mismatch": 422,
    "space_mismatch": 409,
    "calibration_not_found": 409,
    "gallery_exists": 409,
    "identity_exists": 409,
    "identity_not_found": 404,
    "template_not_found": 404,
    "gallery_not_found": 404,
    "model_not_found": 404,
    "job_not_found": 404,
    "gallery_locked": 503,
    "connection_lost": 503,
    "overloaded": 503,
    "unauthorized": 401,
    "forbidden": 403,
    "timed_out": 408,
    "too_large": 413,
    "rate_limited": 429,
}
_CODES = {
    400: "bad_input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timed_out",
    413: "too_large",
    415: "unsupported_media_type",
    422: "bad_input",
    429: "rate_limited",
    503: "overloaded",
}
# Messages of the server's own faults name files and addresses, which are nobody's business; the log has them.
_DETAILS = {
    "gallery_locked": "another process holds the gallery; try again",
    "connection_lost": "the galleries' place does not answer; try again",
}
_STATUS_DETAILS = {500: "the server failed; its log says why", 507: "no room left on the server's disk"}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_RETRY_AFTER_S = 1.0
_MOST_FAULTS = 10


def status_of(error: MienError) -> int:
    """The HTTP status that tells of an error; 500 for what is the server's own fault."""
    if error.code == "output_error" and os.strerror(errno.ENOSPC) in error.message:
        return 507
    return _STATUS.get(error.code, 500)


def problem_of(error: MienError, request_id: str) -> Response:
    """The answer that tells of an error."""
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    status = status_of(error)
    if isinstance(error, QualityRefused):
        more["reasons"] = reason_records(error)
    if status in (429, 503):
        given = error.retry_after_s if isinstance(error, (RateLimited, Overloaded)) else None
        headers["Retry-After"] = str(max(1, math.ceil(_RETRY_AFTER_S if given is None else given)))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="mien"'
    return problem(status, error.code, _detail_of(error), request_id, headers, **more)


def fault_record(error: MienError) -> dict[str, Any]:
    """Why one image of several failed."""
    record: dict[str, Any] = {"code": error.code, "message": _detail_of(error)}
    if isinstance(error, QualityRefused):
        record["reasons"] = reason_records(error)
    return record


def _detail_of(error: MienError) -> str:
    """What a client is told of an error."""
    return _DETAILS.get(error.code) or _STATUS_DETAILS.get(status_of(error)) or error.message


def problem(
    status: int, code: str, detail: str, request_id: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """A problem document.

    Args:
        status: the HTTP status.
        code: mien's code.
        detail: what went wrong, for people.
        request_id: which request, as the log names it.
        headers: of the answer.
        more: members besides the standard ones.
    """
    members = {
        "type": f"urn:mien:error:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": f"urn:mien:request:{request_id}",
        **more,
    }
    return Response(json.dumps(members), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let the application answer every error with a problem document."""
    app.add_exception_handler(MienError, _on_mien_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_mien_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MienError)
    request_id = request_id_of(request.scope)
    if error.code in _DETAILS:
        _LOGGER.warning("request %s: %s: %s", request_id, error.code, error.message)
    elif status_of(error) in _STATUS_DETAILS:
        _LOGGER.error("request %s: %s: %s", request_id, error.code, error.message, exc_info=error)
    return problem_of(error, request_id)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """What is asked for in a wrong way; what was given is not repeated, since it may be a secret or an image."""
    assert isinstance(error, RequestValidationError)
    faults = [(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
    unreadable = any(kind == "json_invalid" for _, kind, _ in faults)
    told = [f"{'.'.join(str(part) for part in where)}: {message}" for where, _, message in faults[:_MOST_FAULTS]]
    detail = "; ".join(told).encode("ascii", "backslashreplace").decode("ascii")
    return problem(400 if unreadable else 422, "bad_input", detail, request_id_of(request.scope))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "error")
    # Starlette's own says no more than the status does.
    unknown = error.status_code == 404 and error.detail == http.HTTPStatus.NOT_FOUND.phrase
    detail = "there is nothing at this path" if unknown else str(error.detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    return problem(error.status_code, code, detail, request_id_of(request.scope), headers)


def _allowed(request: Request) -> list[str]:
    """All methods of a path; Starlette itself names those of the first route alone (RFC 9110, section 15.5.6)."""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.routes
    return [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]
