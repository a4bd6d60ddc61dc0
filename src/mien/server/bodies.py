"""What requests bring: images as raw bytes, in multipart forms or in base64; and JSON. All of it counted as it comes.

No part of a body is ever written to a file, and nothing in it is taken for a path or an address.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mien.errors import BadImage, BadInput, TooLarge
from mien.server.settings import ServerSettings

__all__ = ["ImageBody", "Images", "decoded_image", "read_body", "read_images", "read_json"]

_Json = TypeVar("_Json", bound=BaseModel)
# What stands around the images of a form or in a JSON object: names, headers, options.
_AROUND_BYTES = 65_536
_JSON_BYTES = 32_000_000
_LONGEST_NAME = 1000
# A parser needs a hundred times the bytes of a body of nothing but brackets. Of each sign there are no more in what a
# request may hold: a million numbers in lists of them.
_MOST_SIGNS = {b"{": 10_000, b"[": 200_000, b",": 4_000_000}
_MOST_FIELDS = 8
# Parsing large JSON takes memory, and holds up all other threads.
_PARSED_AT_ONCE = 2
_parsers: RunVar[anyio.CapacityLimiter] = RunVar("mien_parsers")
# Base64 below this is decoded faster than a thread takes over.
_SHORT_BASE64 = 1_000_000


@dataclass(frozen=True, slots=True)
class ImageBody:
    """One image of a request, not looked at yet.

    Attributes:
        name: the file's, if the client told it.
        data: its bytes.
        field: of the form or the JSON object.
    """

    name: str | None
    data: bytes
    field: str = "image"


@dataclass(frozen=True, slots=True)
class Images(Generic[_Json]):
    """The images of a request, and the JSON object that they came in, if they did."""

    images: list[ImageBody]
    json: _Json | None = None


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Args:
        request: whose body.
        limit: the most bytes.

    Raises:
        TooLarge: it is larger, or says that it will be.
    """
    chunks = [chunk async for chunk in _counted(request, limit)]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_json(request: Request, model: type[_Json], *, limit: int = _JSON_BYTES) -> _Json:
    """The body as an object of a model.

    Raises:
        TooLarge: it has more bytes than ``limit``.
        HTTPException: 415, it is not said to be JSON.
        RequestValidationError: it is no JSON, or does not fit the model.
        BadInput: it has far more values than a request can have.
    """
    if _media_type(request) != "application/json":
        raise _unsupported("application/json")
    body = await read_body(request, limit)
    for sign, most in _MOST_SIGNS.items():
        if body.count(sign) > most:
            raise BadInput(f"the body: expected at most {most} times {sign.decode()!r} in its JSON, got more")
    if len(body) < _SHORT_BASE64:
        return _parsed(model, body)
    try:
        limiter = _parsers.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_PARSED_AT_ONCE)
        _parsers.set(limiter)
    return await anyio.to_thread.run_sync(_parsed, model, body, limiter=limiter)


async def read_images(
    request: Request,
    settings: ServerSettings,
    json_model: type[_Json],
    *,
    fields: Sequence[str] = ("image",),
    most: int = 1,
) -> Images[_Json]:
    """The images of a request, whichever way they come.

    Args:
        request: whose body.
        settings: the limits.
        json_model: of a JSON body; its fields of the names in ``fields`` hold base64 or ``data:`` URLs, or lists of
            them.
        fields: the names under which a form holds images.
        most: how many images there may be; raw bytes are always one.

    Raises:
        TooLarge: the body or an image is larger than the settings allow, or there are too many.
        BadInput: there is no image in it, or something else.
        BadImage: the text is not base64.
        HTTPException: 415, the body's type is none of those.
        RequestValidationError: it is no JSON, or does not fit the model.
    """
    kind = _media_type(request)
    largest = min(most * settings.max_body_bytes, settings.max_batch_bytes)
    if kind == "application/json":
        json = await read_json(request, json_model, limit=largest // 3 * 4 + _AROUND_BYTES)
        images = await _from_json(json, fields)
    elif kind == "multipart/form-data":
        json, images = None, await _from_form(request, fields, most, largest + most * 1024 + _AROUND_BYTES)
    elif kind == "application/octet-stream" or kind.startswith("image/"):
        json, images = None, [ImageBody(None, await read_body(request, settings.max_body_bytes))]
    else:
        raise _unsupported("an image/* type, application/octet-stream, multipart/form-data or application/json")
    if len(images) > most:
        raise TooLarge(f"expected at most {most} images, got {len(images)}")
    for image in images:
        if len(image.data) > settings.max_body_bytes:
            raise TooLarge(f"expected images of at most {settings.max_body_bytes:,} bytes, got {len(image.data):,}")
    return Images(images, json)


async def _counted(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body's parts; their sum is what counts, not what the header says."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise TooLarge(f"expected a body of at most {limit:,} bytes, got {int(declared[:20]):,}")
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"expected a body of at most {limit:,} bytes, got more")
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise BadInput("the body ended before it was whole") from error


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(expected: str) -> HTTPException:
    return HTTPException(415, f"expected a body of {expected}")


def _parsed(model: type[_Json], body: bytes) -> _Json:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        # What was given is left out: it may be a whole image.
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults]) from error


async def _from_json(json: BaseModel, fields: Sequence[str]) -> list[ImageBody]:
    texts: list[tuple[str, str]] = []
    for name in fields:
        value: Any = getattr(json, name, None)
        if not isinstance(value, (str, list)):
            continue
        several = value if isinstance(value, list) else [value]
        texts += [(name if isinstance(value, str) else f"{name}.{k}", text) for k, text in enumerate(several)]
    if sum(len(text) for _, text in texts) < _SHORT_BASE64:
        return [decoded_image(text, where) for where, text in texts]
    return await anyio.to_thread.run_sync(lambda: [decoded_image(text, where) for where, text in texts])


def decoded_image(text: str, where: str) -> ImageBody:
    """An image from base64 or a ``data:`` URL.

    Raises:
        BadImage: the text is neither.
    """
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadImage(f"{where}: expected base64 or a data: URL in base64, got another data: URL")
    try:
        return ImageBody(None, base64.b64decode(text, validate=True), where)
    except (binascii.Error, ValueError) as error:
        raise BadImage(f"{where}: expected an image in base64, got something else") from error


async def _from_form(request: Request, fields: Sequence[str], most: int, limit: int) -> list[ImageBody]:
    stream = _counted(request, limit)
    parser = MultiPartParser(
        request.headers, stream, max_files=most, max_fields=_MOST_FIELDS, max_part_size=_AROUND_BYTES
    )
    # No limit above which a file goes to the disk: what the whole body may take is counted already.
    parser.spool_max_size = 0
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise TooLarge(f"expected at most {most} images, got more") from error
        raise BadInput(f"multipart: {error.message}") from error
    images: list[ImageBody] = []
    try:
        for name, value in form.multi_items():
            if name not in fields or not isinstance(value, UploadFile):
                raise BadInput(f"multipart: expected files named {' or '.join(fields)}, got {name[:80]!a}")
            file_name = value.filename
            short_name = file_name[:_LONGEST_NAME] if file_name else None
            images.append(ImageBody(short_name, await value.read(), name))
    finally:
        await form.close()
    if not images:
        raise BadInput(f"multipart: expected a file named {' or '.join(fields)}, got none")
    return images
