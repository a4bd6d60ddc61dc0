"""Names of identities, tags and galleries: which are fit, and the one form in which they are stored."""

from __future__ import annotations

import unicodedata

from mien.errors import BadInput

__all__ = ["LONGEST_NAME", "canonical_name"]

LONGEST_NAME = 1000
"""The most characters of a name, after normalization."""

_REFUSED = {"Cc": "a control character", "Cs": "half a surrogate pair", "Zl": "a line break", "Zp": "a line break"}
# Composing never makes less than one character of this many: https://unicode.org/faq/normalization.html
_LONGEST_RAW = 20 * LONGEST_NAME


def canonical_name(name: str, what: str = "identity") -> str:
    """``name`` as it is stored: in Unicode's composed form (NFC, UAX #15), without surrounding white space.

    Raises:
        BadInput: no string, empty, too long, or with control characters or unpaired surrogates.
    """
    if type(name) is str and 0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable():
        # Most names: ASCII is composed already.
        stripped = name.strip()
        if stripped:
            return stripped
    if not isinstance(name, str):
        raise BadInput(f"{what}: expected a string, got {type(name).__name__}")
    if len(name) > _LONGEST_RAW:
        raise BadInput(f"{what}: expected at most {LONGEST_NAME} characters, got {len(name)}")
    canonical = (name if name.isascii() else unicodedata.normalize("NFC", name)).strip()
    if not canonical:
        raise BadInput(f"{what}: expected a name, got {name[:40]!r}")
    if len(canonical) > LONGEST_NAME:
        raise BadInput(f"{what}: expected at most {LONGEST_NAME} characters, got {len(canonical)}")
    if canonical.isprintable():
        return canonical
    for position, character in enumerate(canonical):
        reason = _REFUSED.get(unicodedata.category(character))
        if reason is not None:
            raise BadInput(f"{what}: character {position} is {reason} (U+{ord(character):04X})")
    return canonical
