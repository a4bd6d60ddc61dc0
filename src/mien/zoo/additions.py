"""Taking a user's own model file into the cache, with a card of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mien.errors import BadCard, BadInput, HashMismatch
from mien.zoo.cache import locked, replacing, require_sha256, sha256_of, write_text
from mien.zoo.consents import accept_license as record_consent
from mien.zoo.consents import require_license
from mien.zoo.inspection import misfit, output_dimension, read_signature
from mien.zoo.registry import card as known_card
from mien.zoo.registry import is_builtin, part_cards, template, templates, user_card_path
from mien.zoo.schema import Card, is_name, parse_card, read_toml, to_toml
from mien.zoo.store import converter_of, kept_path

__all__ = ["add", "add_fused"]


def add(file: Path, card_toml: Path | str, *, name: str | None = None, accept_license: bool = False) -> Card:
    """Copy a user's own ONNX file into the cache and write its card there.

    What the card leaves out is read from the file: ``file.sha256``, ``file.size_bytes``, ``file.sources`` and
    ``embedding.dimension``.

    Args:
        file: the model, one ONNX file.
        card_toml: the path of a card, or the name of a template (``scrfd``, ``arcface``).
        name: what to call the model; by default the card's name, else the file's.
        accept_license: the user's yes to the card's license, put on record.

    Returns:
        The card as it was written.

    Raises:
        BadInput: there is no such file.
        BadCard: the card is malformed or its name taken, the file is no sound ONNX model, or has not the inputs
            and outputs that the card's family needs.
        HashMismatch: the card states another sha256.
        LicenseRefused: the license is non-commercial and the user has not agreed to it.
        CacheError: the cache folder cannot be written.
    """
    file = Path(file)
    if not file.is_file():
        raise BadInput(f"expected a model file, there is none at {file}")
    origin = template(card_toml) if isinstance(card_toml, str) and not _is_card_file(card_toml) else Path(card_toml)
    tables = read_toml(origin)
    try:
        digest = sha256_of(file)
        signature = read_signature(file)
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from error
    facts = _table(tables, "file", origin)
    if facts.setdefault("sha256", digest) != digest:
        raise HashMismatch(f"{file}: expected sha256 {facts['sha256']} as {origin} says, got {digest}")
    facts.setdefault("size_bytes", file.stat().st_size)
    facts.setdefault("sources", [file.absolute().as_uri()])
    if tables.get("task") == "embedder":
        dimension = output_dimension(signature)
        if dimension is not None:
            _table(tables, "embedding", origin).setdefault("dimension", dimension)
    tables["name"] = _choose_name(name, tables.get("name"), file)
    card = parse_card(tables, origin)
    _require_free_name(card)
    converter_of(card)
    why = misfit(card, signature)
    if why is not None:
        raise BadCard(f"{file}: does not fit {origin}: {why}")
    if accept_license:
        record_consent(card)
    require_license(card, command=f"mien models add {file} --card {card_toml} --name {card.name} --accept-license")
    kept = kept_path(card)
    with locked(kept.name), replacing(kept) as temporary:
        shutil.copyfile(file, temporary)
        # The file may have changed since it was hashed.
        require_sha256(temporary, digest)
    with locked(f"card-{card.name}"):
        write_text(user_card_path(card.name), to_toml(card))
    return card


def add_fused(card: Card) -> Card:
    """Keep a fused card (``mien.zoo.fuse``) among the user's own; returns it.

    Raises:
        BadCard: it is no fused card, its name is taken, or its parts are not what it says.
        ModelNotFound: there is no card of a part's name.
        CacheError: the cache folder cannot be written.
    """
    if not card.parts:
        raise BadCard(f"{card.name}: expected a fused card, got family {card.family}")
    part_cards(card)
    _require_free_name(card)
    with locked(f"card-{card.name}"):
        write_text(user_card_path(card.name), to_toml(card))
    return card


def _is_card_file(text: str) -> bool:
    return text not in templates() and (text.endswith(".toml") or Path(text).is_file())


def _table(tables: dict[str, Any], key: str, origin: Path) -> dict[str, Any]:
    table = tables.setdefault(key, {})
    if not isinstance(table, dict):
        raise BadCard(f"{origin}: {key}: expected a table, got {table!r}")
    return table


def _choose_name(name: str | None, stated: object, file: Path) -> object:
    if name is not None:
        return name
    if stated is not None:
        return stated
    stem = file.stem.lower()
    if not is_name(stem):
        raise BadCard(f"{file}: cannot name a model after {file.name!r}; give it a name of a-z 0-9 . _ -")
    return stem


def _require_free_name(card: Card) -> None:
    if is_builtin(card.name):
        raise BadCard(f"name: mien has a card called {card.name!r}; choose another name")
    path = user_card_path(card.name)
    if path.is_file() and known_card(card.name).file.sha256 != card.file.sha256:
        raise BadCard(f"name: {card.name!r} names another file already; choose another name, or remove {path}")
