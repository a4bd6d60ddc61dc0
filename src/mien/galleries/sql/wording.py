"""Numbers of things, and lists of ids, as messages say them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SHOWN", "first_ten", "plural"]

SHOWN = 10
"""How many ids are listed."""

_IRREGULAR = {"identity": "identities"}


def plural(count: int, noun: str) -> str:
    """``1 template``, ``2 templates``."""
    return f"{count} {noun if count == 1 else _IRREGULAR.get(noun, f'{noun}s')}"


def first_ten(ids: Sequence[int]) -> str:
    """The ids, rising, at most ten of them."""
    shown = ", ".join(str(id_) for id_ in sorted(ids)[:SHOWN])
    return f"{shown} and more" if len(ids) > SHOWN else shown
