"""Where shared SQL and PostgreSQL differ in words: placeholders, and errors as gallery errors."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from mien.errors import BadGallery, ConnectionLost, GalleryError, GalleryLocked, MissingExtra

if TYPE_CHECKING:
    import psycopg

__all__ = ["connecting_error", "first_line", "gallery_error", "require_psycopg", "translated", "with_percent_s"]

# Text, quoted names, dollar-quoted bodies and comments are passed over; see
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html. Shared SQL has no E'' strings with \' in them.
_TOKENS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) | --[^\n]* | /\*.*?\*/ | [?%]""",
    re.DOTALL | re.VERBOSE,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCKED = {
    "55P03": "another process is writing",
    "40P01": "another process was writing the same rows",
    "40001": "another process was writing the same rows",
    "55006": "another process is using it",
}
_BAD = {
    "42P01": "expected a mien gallery, got a damaged or foreign one",
    "42703": "expected a mien gallery, got a damaged or foreign one",
    "3F000": "expected a mien gallery, got a damaged or foreign one",
    "XX001": "the gallery is damaged",
    "XX002": "the gallery is damaged",
}
_FAILED = {
    "53100": "no room left on the server's disk",
    "53200": "the server is out of memory",
    "25006": "the database is read-only",
    "42501": "the role lacks a permission",
}
_LOST = ("08", "57P")
_REFUSED_LOGIN = ("password", "pg_hba.conf", "role ", "authentication", "permission")


@lru_cache(maxsize=512)
def with_percent_s(sql: str) -> str:
    """A statement with psycopg's ``%s`` where shared SQL has ``?``; text in quotes stays as it is."""

    def replaced(match: re.Match[str]) -> str:
        token = match[0]
        # psycopg knows no quotes: it wants every other percent sign doubled, wherever it stands.
        return "%s" if token == "?" else token.replace("%", "%%")

    return _TOKENS.sub(replaced, sql)


def require_psycopg() -> None:
    """Check that PostgreSQL's driver is installed.

    Raises:
        MissingExtra: it is not, or it finds no client library.
    """
    try:
        importlib.import_module("psycopg")
    except ImportError as error:
        raise MissingExtra(f"PostgreSQL galleries need psycopg: pip install 'mien[postgres]' ({error})") from error


def first_line(error: psycopg.Error) -> str:
    """What went wrong, without the details, which may quote what is stored."""
    text = error.diag.message_primary
    return (str(error) if text is None else text).strip().partition("\n")[0]


def gallery_error(error: psycopg.Error, place: str, effect: str = "") -> GalleryError:
    """One of psycopg's errors in mien's words.

    Args:
        error: what psycopg raised.
        place: where, without a password.
        effect: what it means for the caller, such as "nothing was stored".
    """
    import psycopg

    text, code = first_line(error), error.sqlstate
    after = f"; {effect}" if effect else ""
    if code is None:
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return (ConnectionLost if lost else GalleryError)(f"{place}: {text}{after}")
    if code.startswith(_LOST):
        return ConnectionLost(f"{place}: the connection was lost ({text}){after}")
    if code in _LOCKED:
        return GalleryLocked(f"{place}: {_LOCKED[code]} ({text}){after}; timeout_s sets the wait")
    if code in _BAD:
        return BadGallery(f"{place}: {_BAD[code]} ({text}){after}")
    if code in _FAILED:
        return GalleryError(f"{place}: {_FAILED[code]} ({text}){after}")
    return GalleryError(f"{place}: {text}{after}")


def connecting_error(error: psycopg.Error, place: str) -> GalleryError:
    """An error of connecting, where PostgreSQL's client library gives no code, in mien's words."""
    text = " ".join(str(error).split())
    if re.search(r'database ".*" does not exist', text):
        return BadGallery(f"{place}: there is no such database; make it first, for example with createdb ({text})")
    if any(sign in text for sign in _REFUSED_LOGIN):
        return GalleryError(f"{place}: the server refused the login ({text})")
    return ConnectionLost(f"{place}: no connection to the server ({text})")


@contextmanager
def translated(place: str, effect: str = "") -> Iterator[None]:
    """Turn psycopg's errors into gallery errors.

    Raises:
        GalleryLocked: a lock was not given within the time-out.
        BadGallery: the tables are not mien's, or damaged.
        ConnectionLost: the server is gone.
        GalleryError: anything else that the server refuses.
    """
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise gallery_error(error, place, effect) from error
