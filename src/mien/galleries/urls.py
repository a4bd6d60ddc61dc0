"""Gallery URLs: ``memory:``, ``sqlite:///people.db``, ``sqlite:////srv/people.db?name=staff``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from mien.errors import BadGallery, BadInput
from mien.galleries.names import canonical_name

__all__ = ["DEFAULT_NAME", "GalleryUrl", "parse_url"]

DEFAULT_NAME = "default"
"""The gallery's name where the URL says none."""

_OPTIONS = {"memory": ("name",), "sqlite": ("mode", "name", "timeout_s")}
_OTHERS = ("postgresql", "postgres", "milvus")
_LONGEST_TIMEOUT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class GalleryUrl:
    """A gallery's URL, taken apart.

    Attributes:
        url: as it was given.
        scheme: ``memory`` or ``sqlite``.
        path: the file's path as the URL gives it, relative or absolute; empty for ``memory``.
        name: which of the galleries kept there.
        mode: ``rw``, or ``ro`` to search and list only.
        timeout_s: how many seconds to wait for another process that is writing.
    """

    url: str
    scheme: Literal["memory", "sqlite"]
    path: str = ""
    name: str = DEFAULT_NAME
    mode: Literal["rw", "ro"] = "rw"
    timeout_s: float = 5.0


def parse_url(url: str) -> GalleryUrl:
    """Take a gallery's URL apart; ``%`` escapes are decoded in the path and in the options.

    ``sqlite:///people.db`` is relative to the working directory, ``sqlite:////srv/people.db`` is absolute.

    Raises:
        BadGallery: no URL, an unknown scheme or option, or a value that does not fit; the message names the
            known ones.
    """
    if not isinstance(url, str):
        raise BadGallery(f"expected a gallery URL such as sqlite:///people.db, got {type(url).__name__}")
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon or (scheme not in _OPTIONS and scheme not in _OTHERS):
        raise BadGallery(f"expected a gallery URL, memory: or sqlite:///people.db, got {url!r}")
    location, _, query = rest.partition("?")
    if scheme == "memory":
        if location:
            raise BadGallery(f"a memory gallery has no path: expected memory:, got {url!r}")
        return GalleryUrl(url, "memory", name=_name(_options("memory", query, url), url))
    if scheme != "sqlite":
        raise BadGallery(f"{scheme} is not available: this version opens memory: and sqlite:///, got {url!r}")
    path = unquote(location[3:])
    if not location.startswith("///") or not path.strip("/") or "\0" in path:
        raise BadGallery(f"expected sqlite:///people.db (or four slashes and an absolute path), got {url!r}")
    options = _options("sqlite", query, url)
    mode = options.get("mode", "rw")
    if mode not in ("rw", "ro"):
        raise BadGallery(f"mode: expected rw or ro, got {mode!r} in {url!r}")
    name = _name(options, url)
    return GalleryUrl(url, "sqlite", path, name, "ro" if mode == "ro" else "rw", _timeout_s(options, url))


def _options(scheme: Literal["memory", "sqlite"], query: str, url: str) -> dict[str, str]:
    known = _OPTIONS[scheme]
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            raise BadGallery(f"unknown option {part!r} in {url!r}: {scheme} galleries know {', '.join(known)}")
        if key in options:
            raise BadGallery(f"option {key} is given twice in {url!r}")
        options[key] = unquote(value)
    return options


def _name(options: dict[str, str], url: str) -> str:
    try:
        return canonical_name(options.get("name", DEFAULT_NAME), "name")
    except BadInput as error:
        raise BadGallery(f"{error} in {url!r}") from error


def _timeout_s(options: dict[str, str], url: str) -> float:
    text = options.get("timeout_s", "5")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_TIMEOUT_S:
        raise BadGallery(f"timeout_s: expected 0 to {_LONGEST_TIMEOUT_S:.0f} seconds, got {text!r} in {url!r}")
    return seconds
