"""Names and tags as options give them; what cannot be one is wrong usage, told before anything is opened."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from mien.errors import BadInput

__all__ = ["checked_identity", "checked_tags"]


def checked_identity(text: str, option: str = "--identity") -> str:
    """An identity's name in its canonical form.

    Args:
        text: as it was given.
        option: where, for the message.

    Raises:
        typer.BadParameter: it is none.
    """
    return _checked(text, "identity", option)


def checked_tags(tags: Iterable[str] | None) -> list[str] | None:
    """Tags in their canonical form; None if none were given.

    Raises:
        typer.BadParameter: one is none.
    """
    return [_checked(tag, "tag", "--tag") for tag in tags] if tags else None


def _checked(text: str, what: str, option: str) -> str:
    from mien.galleries import canonical_name

    try:
        return canonical_name(text, what)
    except BadInput as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
