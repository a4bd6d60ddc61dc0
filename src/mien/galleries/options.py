"""A gallery's options: as URLs name them, as they are kept with the gallery, and that the two agree."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from mien.errors import BadGallery
from mien.galleries.protocol import Audit, GalleryOptions
from mien.matching import CODECS, FUSIONS

__all__ = ["STORED_OPTIONS", "from_json", "require_no_key", "require_same", "stored_options", "to_json"]

STORED_OPTIONS = tuple(sorted(field.name for field in fields(GalleryOptions)))
"""The names of the options that are kept with a gallery."""

_LONGEST_DAYS = 36_500.0
_YES_NO = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}


def _choice(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]}")
        return text

    return parse


def _yes_no(text: str) -> bool:
    if text.lower() not in _YES_NO:
        raise ValueError("expected yes or no")
    return _YES_NO[text.lower()]


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 < days <= _LONGEST_DAYS:
        raise ValueError(f"expected more than 0 and at most {_LONGEST_DAYS:.0f} days")
    return days


_PARSERS: dict[str, Callable[[str], Any]] = {
    "codec": _choice(*CODECS),
    "fusion": _choice(*FUSIONS),
    "portraits": _yes_no,
    "audit": _choice(*get_args(Audit)),
    "audit_days": _days,
    "retention_days": _days,
    "encrypted": _yes_no,
}


def stored_options(given: Mapping[str, str], shown: str) -> dict[str, Any]:
    """Those of the options given in a URL that are kept with a gallery, as the values of ``GalleryOptions``.

    Args:
        given: option and text, others than the stored ones are passed over.
        shown: the URL for messages.

    Raises:
        BadGallery: a value does not fit.
    """
    named: dict[str, Any] = {}
    for name in STORED_OPTIONS:
        if name in given:
            try:
                named[name] = _PARSERS[name](given[name])
            except ValueError as error:
                raise BadGallery(f"{name}: {error}, got {given[name]!r} in {shown!r}") from error
    return named


def require_same(named: Mapping[str, Any], held: GalleryOptions, place: str) -> None:
    """Check that a URL names no option that an existing gallery has otherwise.

    Raises:
        BadGallery: it does; the message has both values.
    """
    for name, value in named.items():
        if getattr(held, name) != value:
            has = getattr(held, name)
            raise BadGallery(f"{place}: the gallery was made with {name}={_shown(has)}, the URL says {_shown(value)}")


def require_no_key(key_file: str | None, place: str, *, made: bool) -> None:
    """Check that no key is given for a gallery that is not encrypted: whoever gives one believes that it is.

    Args:
        key_file: what the URL says.
        place: where, for messages.
        made: whether the gallery is there already.

    Raises:
        BadGallery: one is given.
    """
    if key_file is not None:
        cure = (
            "the gallery was made without (leave the key out, or import into a new one)" if made else "or leave it out"
        )
        raise BadGallery(
            f"{place}: a key is given but the gallery is not encrypted: add encrypted=yes / --encrypted"
            f"{'; ' if made else ', '}{cure}"
        )


def _shown(value: object) -> str:
    return {True: "yes", False: "no", None: "none"}[value] if value in (True, False, None) else f"{value}"


def to_json(options: GalleryOptions) -> str:
    """Options as they are kept with a gallery."""
    return json.dumps(asdict(options))


def from_json(text: str, place: str) -> GalleryOptions:
    """Options that were kept with a gallery.

    Raises:
        BadGallery: the text is damaged.
    """
    try:
        options = GalleryOptions(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise BadGallery(f"{place}: the gallery's options are damaged: {text[:80]!r}") from error
    known = options.codec in CODECS and options.fusion in FUSIONS and options.audit in get_args(Audit)
    if not known:
        raise BadGallery(f"{place}: the gallery's options are damaged: {text[:80]!r}")
    return options
