"""How a route's body, answers and problems stand in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

__all__ = ["PROBLEM", "answers", "image_body", "json_body"]

_TITLES = {
    400: "The body cannot be read.",
    401: "No key, or a wrong one.",
    403: "The key does not allow this.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "It does not go with what is there.",
    413: "Larger than the server takes.",
    415: "A body of another type.",
    422: "What is asked for, or the image, is not right.",
    429: "More requests than the key may send.",
    500: "The server failed.",
    503: "More work than can be done in time.",
}
_ALWAYS = (400, 401, 403, 422, 429, 500, 503)
_WITH_BODY = (408, 413, 415)


_TEXT = {"type": "string"}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "code", "instance"), _TEXT),
        "status": {"type": "integer"},
        "reasons": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "detail", "code", "instance"],
}
"""The schema of a problem document (RFC 9457)."""


def answers(
    model: type[BaseModel] | None, *more: int, status: int = 200, body: bool = False, text: str = "As asked for."
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: what it gives, and the problems that it may have.

    Args:
        model: of the answer; None for an answer that is described elsewhere or has no body.
        more: statuses of problems besides those that every route may have.
        status: of the answer.
        body: whether the route takes one.
        text: what the answer is.
    """
    found: dict[int | str, dict[str, Any]] = {status: {"description": text}}
    if model is not None:
        found[status]["model"] = model
    for number in sorted({*_ALWAYS, *more, *(_WITH_BODY if body else ())}):
        found[number] = {"description": _TITLES[number], "content": {"application/problem+json": {"schema": PROBLEM}}}
    return found


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A body of JSON, as ``openapi_extra``."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _inline(model)}}}}


def image_body(model: type[BaseModel], *, several: bool = False, fields: Sequence[str] = ("image",)) -> dict[str, Any]:
    """A body that brings images, in any of its ways, as ``openapi_extra``.

    Args:
        model: of the JSON body.
        several: whether a field of a form may come again.
        fields: of a form, all of them needed.
    """
    file: dict[str, Any] = {"type": "string", "format": "binary"}
    properties = {field: {"type": "array", "items": file, "minItems": 1} if several else file for field in fields}
    form = {"type": "object", "properties": properties, "required": list(fields), "additionalProperties": False}
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": _inline(model)},
    }
    if len(fields) == 1:
        for kind in ("application/octet-stream", "image/*"):
            content[kind] = {"schema": file}
    return {"requestBody": {"required": True, "content": content}}


def _inline(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with no reference in it: those would point into another document."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolved(definitions[value["$ref"].rpartition("/")[2]])
        return {key: resolved(item) for key, item in value.items()}

    found: dict[str, Any] = resolved(schema)
    return found
