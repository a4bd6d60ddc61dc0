"""From a server's answer to the library's error of the same code."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from mien import errors
from mien.client.call import Answer, Call
from mien.errors import MienError, Overloaded, QualityRefused, RateLimited, ServerError
from mien.types import QualityReason

__all__ = ["error_of", "of_code", "reason_of", "require_good", "retry_after_s"]

_CLASSES: dict[str, type[MienError]] = {
    found.code: found for found in map(vars(errors).__getitem__, errors.__all__) if found is not MienError
}
_UNNAMED = re.compile(r"^image bytes(?=:)")
# Where the library's own messages name the image, if it has a path: no path is sent to a server.
_NAMELESS = re.compile(r"^(?:expected a face|expected one face|the face)(?=,| is )")


def require_good(call: Call[Any], answer: Answer) -> None:
    """Check that the server did what was asked.

    Raises:
        MienError: it did not; of the class that the library itself would raise, with the server's message.
        ServerError: the server failed, or what answered is no mien server.
    """
    if not 200 <= answer.status < 300:
        raise error_of(answer, call.about)


def error_of(answer: Answer, about: str | None = None) -> MienError:
    """The error that an answer tells of.

    Args:
        answer: with a status that is no success.
        about: see ``Call.about``.
    """
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        what = answer.headers.get("content-type", "no content")
        to = answer.headers.get("location")
        hint = f", which leads to {to}: give that address" if to is not None and 300 <= answer.status < 400 else ""
        return ServerError(f"{answer.url}: expected a mien server, got status {answer.status} with {what}{hint}")
    problem = answer.json()
    if not isinstance(problem, dict):
        return ServerError(f"{answer.url}: expected a problem document, got {type(problem).__name__}")
    code = str(problem.get("code", ""))
    message = str(problem.get("detail", problem.get("title", "")))
    if (code in _CLASSES and answer.status < 500) or answer.status == 503:
        return of_code(code, message, about, problem.get("reasons"), retry_after_s(answer))
    number = str(problem.get("instance", "")).rpartition(":")[2]
    where = f" (request {number})" if number else ""
    return ServerError(f"{answer.url}: {code or answer.status}: {message}{where}")


def of_code(
    code: str, message: str, about: str | None = None, reasons: Any = None, retry_s: float | None = None
) -> MienError:
    """The library's error of a code.

    Args:
        code: stable.
        message: for people.
        about: see ``Call.about``.
        reasons: of a face that was refused.
        retry_s: when the server wants to be asked again.
    """
    if about is not None:
        message = _UNNAMED.sub(lambda _: about, message)
        message = _NAMELESS.sub(lambda found: f"{found[0]} in {about}", message)
    kind = _CLASSES.get(code)
    if kind is None:
        return ServerError(f"{code}: {message}" if code else message)
    if kind is QualityRefused:
        return QualityRefused(message, tuple(reason_of(reason) for reason in reasons or ()))
    if kind is RateLimited or kind is Overloaded:
        return kind(message, retry_s)
    return kind(message)


def retry_after_s(answer: Answer) -> float | None:
    """How many seconds the server asks to wait (RFC 9110, section 10.2.3: seconds or a date); None if it does not."""
    text = answer.headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return None
        aware = date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
        seconds = (aware - datetime.now(timezone.utc)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def reason_of(record: Any) -> QualityReason:
    """One thing that is wrong with a face."""
    value, limit = float(record["value"]), float(record["limit"])
    # Quality reports do not say on which side of the limit it is bad; the one where the value is.
    lowest = bool(record.get("lowest", value < limit))
    return QualityReason(str(record["name"]), str(record["measure"]), value, limit, str(record["unit"]), lowest)
