"""Which cards there are: those that come with mien, and the user's own in the cache folder."""

from __future__ import annotations

import difflib
from pathlib import Path

from mien.errors import BadCard, ModelNotFound
from mien.zoo.cache import cache_dir
from mien.zoo.schema import Card, is_name, parse_card, read_toml

__all__ = ["card", "cards", "is_builtin", "part_cards", "template", "templates", "user_card_path"]

_BUILTIN = Path(__file__).parent / "cards"
_TEMPLATES = _BUILTIN / "templates"


def card(name: str) -> Card:
    """The card called ``name``; mien's own come first.

    Raises:
        ModelNotFound: there is none; the message names the near misses and all cards.
        BadCard: the card's file is malformed.
    """
    if is_name(name):
        for path in (_BUILTIN / f"{name}.toml", user_card_path(name)):
            if path.is_file():
                return _read(path)
    known = _names()
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ModelNotFound(f"no model card is called {name!r}{guess} (there are: {', '.join(known)})")


def cards() -> list[Card]:
    """All cards, mien's own and the user's, by name.

    Raises:
        BadCard: a card's file is malformed, or has the name of one of mien's own.
    """
    return [card(name) for name in _names()]


def part_cards(fused: Card) -> list[Card]:
    """The cards of a fused card's parts, in order; empty for any other card.

    Raises:
        ModelNotFound: there is none of a part's name.
        BadCard: a part's file is another one by now, or it is no embedder with a file.
    """
    found = []
    for part in fused.parts:
        one = card(part.card)
        if one.task != "embedder" or one.parts:
            raise BadCard(f"{fused.name}: part {part.card}: expected an embedder with a file of its own")
        if one.file.sha256 != part.sha256:
            raise BadCard(
                f"{fused.name}: part {part.card}: expected the file with sha256 {part.sha256}, got {one.file.sha256}"
            )
        found.append(one)
    return found


def is_builtin(name: str) -> bool:
    """Whether a card of that name comes with mien."""
    return is_name(name) and (_BUILTIN / f"{name}.toml").is_file()


def user_card_path(name: str) -> Path:
    """Where the user's own card of that name is kept; it need not exist."""
    return cache_dir() / "cards" / f"{name}.toml"


def templates() -> list[str]:
    """The names of the card templates for a user's own model files."""
    return sorted(path.stem for path in _TEMPLATES.glob("*.toml"))


def template(name: str) -> Path:
    """The file of a card template: a card without what only the model's file can tell.

    Raises:
        BadCard: there is none of that name.
    """
    if name not in templates():
        raise BadCard(
            f"no card template is called {name!r} (there are: {', '.join(templates())}), nor is it a TOML file"
        )
    return _TEMPLATES / f"{name}.toml"


def _names() -> list[str]:
    own = [path.stem for path in user_card_path("x").parent.glob("*.toml")]
    for name in own:
        if is_builtin(name):
            raise BadCard(f"{user_card_path(name)}: mien has a card of that name; give this one another")
    return sorted([*(path.stem for path in _BUILTIN.glob("*.toml")), *own])


def _read(path: Path) -> Card:
    found = parse_card(read_toml(path), path)
    if found.name != path.stem:
        raise BadCard(f"{path}: name: expected {path.stem!r}, as the file is called, got {found.name!r}")
    return found
