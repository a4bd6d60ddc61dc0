"""Gallery URLs: ``memory:``, ``sqlite:///people.db?name=staff``, ``postgresql://…``, ``milvus://…``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from mien.errors import BadGallery, BadInput
from mien.galleries.names import canonical_name
from mien.galleries.options import STORED_OPTIONS, stored_options

__all__ = ["DEFAULT_NAME", "GalleryUrl", "Scheme", "parse_url", "without_password"]

DEFAULT_NAME = "default"
"""The gallery's name where the URL says none."""

Scheme = Literal["memory", "sqlite", "postgresql", "milvus"]

_SHARED = ("actor", "key_file", "mode", "name", "timeout_s")
_LIBPQ = ("host", "passfile", "sslcert", "sslkey", "sslmode", "sslrootcert")
_KNOWN: dict[Scheme, tuple[str, ...]] = {
    "memory": ("name", *STORED_OPTIONS),
    "sqlite": (*_SHARED, *STORED_OPTIONS),
    "postgresql": (*_SHARED, "engine", *_LIBPQ, *STORED_OPTIONS),
    "milvus": (*_SHARED, "index", "tls", *STORED_OPTIONS),
}
_SCHEMES: dict[str, Scheme] = {"postgres": "postgresql", **{scheme: scheme for scheme in _KNOWN}}
_EXAMPLES = "memory:, sqlite:///people.db, postgresql://host/database or milvus://host:19530"
_LONGEST_TIMEOUT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class GalleryUrl:
    """A gallery's URL, taken apart.

    Attributes:
        url: as it was given; it may hold a password, so it is never shown.
        scheme: what kind of place.
        shown: the URL without its password, for people.
        path: a file's path as the URL gives it, relative or absolute; empty where there is a server.
        host: the server; empty for the driver's default.
        port: the server's port, or None for the usual one.
        user: whom to log in as, or None.
        password: with what, or None.
        database: the server's database; empty for the default.
        libpq: options for PostgreSQL's client library, as they were given.
        tls: whether to talk to a Milvus server in TLS.
        name: which of the galleries kept there.
        mode: ``rw``, or ``ro`` to search and list only.
        timeout_s: how many seconds to wait for another process that is writing.
        engine: ``postgresql``: search a copy in memory, or let the server search with pgvector.
        index: ``milvus``: the kind of index that a new gallery gets; ``FLAT`` alone is exact.
        actor: who is at work, for the audit log; None for the login name.
        key_file: the file that holds the key of an encrypted gallery; None for the variable.
        named: the options of ``GalleryOptions`` that the URL names, with their values.
    """

    url: str = field(repr=False)
    scheme: Scheme
    shown: str = ""
    path: str = ""
    host: str = ""
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str = ""
    libpq: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    name: str = DEFAULT_NAME
    mode: Literal["rw", "ro"] = "rw"
    timeout_s: float = 5.0
    engine: Literal["ram", "pgvector"] = "ram"
    index: Literal["FLAT", "HNSW", "IVF_SQ8"] = "FLAT"
    actor: str | None = None
    key_file: str | None = None
    named: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where, for messages: a path, or server and database."""
        if self.path or self.scheme == "memory":
            return self.path
        server = self.host or self.libpq.get("host", "")
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{server}{port}/{self.database}"


def parse_url(url: str) -> GalleryUrl:
    """Take a gallery's URL apart; ``%`` escapes are decoded.

    ``sqlite:///people.db`` is relative to the working directory, ``sqlite:////srv/people.db`` is absolute.

    Raises:
        BadGallery: no URL, an unknown scheme or option, or a value that does not fit; the message names the
            known ones, and never a password.
    """
    if not isinstance(url, str):
        raise BadGallery(f"expected a gallery URL such as sqlite:///people.db, got {type(url).__name__}")
    shown = without_password(url)
    text, colon, rest = url.partition(":")
    scheme = _SCHEMES.get(text.lower())
    if not colon or scheme is None:
        raise BadGallery(f"expected a gallery URL, {_EXAMPLES}, got {shown!r}")
    location, _, query = rest.partition("?")
    options = _options(scheme, query, shown)
    parts: dict[str, Any] = {}
    if scheme == "memory":
        if location:
            raise BadGallery(f"a memory gallery has no path: expected memory:, got {shown!r}")
    elif scheme == "sqlite" or (scheme == "milvus" and location.startswith("///")):
        parts["path"] = _path(scheme, location, shown)
    else:
        parts = _server(scheme, location, shown)
    index: Any = _one_of("index", {k: v.upper() for k, v in options.items()}, ("FLAT", "HNSW", "IVF_SQ8"), shown)
    return GalleryUrl(
        url=url,
        scheme=scheme,
        shown=shown,
        **parts,
        libpq={key: options[key] for key in _LIBPQ if key in options},
        tls=_one_of("tls", options, ("no", "yes"), shown) == "yes",
        name=_name(options, shown),
        mode="ro" if _one_of("mode", options, ("rw", "ro"), shown) == "ro" else "rw",
        timeout_s=_timeout_s(options, shown),
        engine="pgvector" if _one_of("engine", options, ("ram", "pgvector"), shown) == "pgvector" else "ram",
        index=index,
        actor=_actor(options, shown),
        key_file=options.get("key_file"),
        named=stored_options(options, shown),
    )


def without_password(url: str) -> str:
    """A URL with ``***`` where it has a password; file and memory URLs have none."""
    if "://" not in url or url.partition(":")[0].lower() in ("sqlite", "memory"):
        return url
    url = re.sub(r"(?<=[?&]password=)[^&]*", "***", url)
    location, mark, query = url.partition("?")
    scheme, _, authority = location.partition("://")
    if "@" in authority:
        user, colon, _ = authority.partition(":")
        if colon and "@" not in user:
            return f"{scheme}://{user}:***@{authority.rpartition('@')[2]}{mark}{query}"
        return url
    # No port: then what stands here is likely a password with a character that was not escaped.
    host, colon, port = authority.partition("/")[0].rpartition(":")
    if colon and not host.startswith("[") and not port.isdecimal():
        return f"{scheme}://{host}:***"
    return url


def _options(scheme: Scheme, query: str, shown: str) -> dict[str, str]:
    known = sorted(_KNOWN[scheme])
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            # What is no word may be the rest of a password that was not escaped.
            what = f"unknown option {key!r}" if key.isidentifier() else "an unknown option"
            raise BadGallery(f"{what} in {shown!r}: {scheme} galleries know {', '.join(known)}")
        if key in options:
            raise BadGallery(f"option {key} is given twice in {shown!r}")
        options[key] = unquote(value)
    return options


def _path(scheme: Scheme, location: str, shown: str) -> str:
    path = unquote(location[3:])
    if not location.startswith("///") or not path.strip("/") or "\0" in path:
        raise BadGallery(f"expected {scheme}:///people.db (or four slashes and an absolute path), got {shown!r}")
    return path


def _server(scheme: Scheme, location: str, shown: str) -> dict[str, Any]:
    authority, _, database = location.removeprefix("//").partition("/")
    login, at, server = authority.rpartition("@")
    user, colon, password = login.partition(":")
    # An IPv6 address has colons of its own, and stands in brackets.
    start = server.rfind("]") + 1
    colon_at = server.find(":", start)
    host, port = (server, "") if colon_at < 0 else (server[:colon_at], server[colon_at:])
    if not location.startswith("//") or "\0" in unquote(location):
        raise BadGallery(f"expected {scheme}://host:port/database, got {shown!r}")
    if port and not (port[1:].isdecimal() and port.isascii() and 0 < int(port[1:]) < 65_536):
        raise BadGallery(f"expected a port number behind the host (escape / ? # @ in passwords), got {shown!r}")
    return {
        "host": unquote(host).strip("[]"),
        "port": int(port[1:]) if port else None,
        "user": unquote(user) if at else None,
        "password": unquote(password) if colon else None,
        "database": unquote(database.rstrip("/")),
    }


def _one_of(key: str, options: Mapping[str, str], known: tuple[str, ...], shown: str) -> str:
    value = options.get(key, known[0])
    if value not in known:
        raise BadGallery(f"{key}: expected {' or '.join(known)}, got {value!r} in {shown!r}")
    return value


def _name(options: Mapping[str, str], shown: str) -> str:
    try:
        return canonical_name(options.get("name", DEFAULT_NAME), "name")
    except BadInput as error:
        raise BadGallery(f"{error} in {shown!r}") from error


def _actor(options: Mapping[str, str], shown: str) -> str | None:
    try:
        return canonical_name(options["actor"], "actor") if "actor" in options else None
    except BadInput as error:
        raise BadGallery(f"{error} in {shown!r}") from error


def _timeout_s(options: Mapping[str, str], shown: str) -> float:
    text = options.get("timeout_s", "5")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_TIMEOUT_S:
        raise BadGallery(f"timeout_s: expected 0 to {_LONGEST_TIMEOUT_S:.0f} seconds, got {text!r} in {shown!r}")
    return seconds
