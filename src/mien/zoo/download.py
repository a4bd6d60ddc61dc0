"""Fetch one file over HTTPS with the standard library: resumed where it was cut, checked, moved into place."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from mien.errors import CacheError, HashMismatch, ModelNotFound
from mien.zoo.cache import require_sha256, writing
from mien.zoo.schema import is_loopback
from mien.zoo.sources import Progress

__all__ = ["download"]

_BLOCK = 1 << 18
_ATTEMPTS = 3
_TIMEOUT_S = 30.0
# An ONNX file is one protobuf message, and those end at 2 GiB.
_MOST_BYTES = 1 << 31


class _Cut(Exception):
    """The connection ended before the file did."""


class _Stale(Exception):
    """The server cannot go on from where the partial file ends."""


def download(
    url: str,
    destination: Path,
    *,
    sha256: str,
    size_bytes: int | None = None,
    progress: Progress | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> None:
    """Fetch ``url`` to ``destination``; the caller holds the lock that guards ``destination``.

    A cut connection is taken up again up to twice, and by the next call, if the server gave the file an
    identity (a strong ETag or a date) by which both know that it is the same file still.

    Args:
        url: ``https://…``, or ``http://…`` of this machine. Certificates are checked, and a redirection
            may lead to HTTPS alone (from this machine, to this machine too).
        destination: appears complete and checked, or not at all.
        sha256: what the file must hash to, 64 lower-case hex digits.
        size_bytes: the file's length; no more is ever read. Without it the limit is 2 GiB.
        progress: called with the bytes at hand and their final number (None while unknown).
        timeout_s: how long the server may stay silent.

    Raises:
        ModelNotFound: no route, an HTTP error, a refused redirection, or a connection cut too often.
        HashMismatch: the server sends another file; nothing of it is kept.
        CacheError: the file cannot be written; nothing of it is kept.
    """
    part = destination.with_name(destination.name + ".download")
    try:
        with writing(destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, size_bytes, progress, timeout_s)
        with writing(destination):
            require_sha256(part, sha256)
            part.replace(destination)
            _identity_file(part).unlink(missing_ok=True)
    except (CacheError, HashMismatch):
        _forget(part)
        raise


def _fetch(url: str, part: Path, size_bytes: int | None, progress: Progress | None, timeout_s: float) -> None:
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            return _fetch_once(url, part, size_bytes, progress, timeout_s)
        except _Cut as cut:
            reason = str(cut)
        except _Stale as stale:
            reason = str(stale)
            _forget(part)
    raise ModelNotFound(f"{reason} ({_ATTEMPTS} attempts)")


def _fetch_once(url: str, part: Path, size_bytes: int | None, progress: Progress | None, timeout_s: float) -> None:
    offset, headers = _resumable(url, part)
    try:
        response = _opener(url).open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with closing(error):
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                raise _Stale(f"HTTP {error.code} {error.reason}") from error
            raise ModelNotFound(f"the server answered HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise ModelNotFound(f"cannot be reached: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise ModelNotFound(f"cannot be reached: {error!r}") from error
    with closing(response):
        offset = _start(response, offset)
        total = _total(response, offset)
        limit = size_bytes if size_bytes is not None else _MOST_BYTES
        if total is not None and (total > limit or (size_bytes is not None and total != size_bytes)):
            most = "" if size_bytes is not None else "at most "
            raise HashMismatch(f"expected a file of {most}{limit} bytes, the server has one of {total}")
        if offset == 0:
            _remember(url, part, response)
        with writing(part), open(part, "ab" if offset else "wb") as out:
            received = _copy(response, out, offset, total if total is not None else size_bytes, limit, progress)
    expected = total if total is not None else size_bytes
    if expected is not None and received < expected:
        raise _Cut(f"the connection ended after {received} of {expected} bytes")


def _copy(response: Any, out: IO[bytes], offset: int, total: int | None, limit: int, progress: Progress | None) -> int:
    """Append the body to ``out``; returns the bytes then at hand."""
    received = offset
    if progress is not None:
        progress(received, total)
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"the connection failed after {received} bytes: {error!r}") from error
        if not block:
            out.flush()
            os.fsync(out.fileno())
            return received
        received += len(block)
        if received > limit:
            raise HashMismatch(f"expected a file of at most {limit} bytes, the server sends more")
        out.write(block)
        if progress is not None:
            progress(received, total)


def _start(response: Any, offset: int) -> int:
    """Where the body of ``response`` begins in the file: at ``offset``, or at 0 if the server starts anew."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    content_range = response.headers.get("Content-Range", "")
    if offset == 0 or not content_range.startswith(f"bytes {offset}-"):
        raise _Stale(f"asked for bytes from {offset}, the server sent {content_range!r}")
    return offset


def _total(response: Any, offset: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if re.fullmatch(r"[0-9]+", length) else None


def _identity_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _remember(url: str, part: Path, response: Any) -> None:
    """Note by what the server will know the file again: RFC 9110, 13.1.5 takes a strong ETag or a date."""
    etag, date = response.headers.get("ETag", ""), response.headers.get("Last-Modified")
    validator = etag if etag.startswith('"') else date
    with writing(part):
        _identity_file(part).unlink(missing_ok=True)
        if validator is not None:
            _identity_file(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _resumable(url: str, part: Path) -> tuple[int, dict[str, str]]:
    """How many bytes of ``url`` are at hand, and the headers that ask for the rest."""
    headers = {"User-Agent": "mien", "Accept-Encoding": "identity"}
    try:
        at_hand = part.stat().st_size
        identity = json.loads(_identity_file(part).read_text(encoding="utf-8"))
        if at_hand == 0 or identity["url"] != url:
            return 0, headers
        ranged = {"Range": f"bytes={at_hand}-", "If-Range": str(identity["validator"])}
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing to go on from, or a note that was itself cut short: the file is fetched from its start.
        return 0, headers
    return at_hand, headers | ranged


def _forget(part: Path) -> None:
    with writing(part):
        part.unlink(missing_ok=True)
        _identity_file(part).unlink(missing_ok=True)


class _SafeRedirections(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        new, old = urlsplit(newurl), urlsplit(req.full_url)
        stays_here = old.scheme == "http" and new.scheme == "http" and is_loopback(new.hostname)
        if new.scheme != "https" and not stays_here:
            fp.close()
            raise urllib.error.URLError(f"refused a redirection to {newurl}: expected https://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        _SafeRedirections(),
    ]
    if is_loopback(urlsplit(url).hostname):
        # A proxy cannot reach this machine's own loopback address.
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)
