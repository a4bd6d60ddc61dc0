"""Whether what a file of templates holds can be imported; what cannot is told by its row."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import numpy as np

from mien.errors import BadCard, BadInput
from mien.galleries.exchange_rows import Block, FileFacts
from mien.galleries.names import canonical_name
from mien.types import Templates

__all__ = ["require_known_space", "require_rows"]

_SPACE = re.compile(r"[^\s@]+@[^\s@]+")
_FLIPPED = "+flip"
# Clocks differ, and by hours where one was set to the time of another zone.
_AHEAD_S = 86_400.0


def require_known_space(path: str, facts: FileFacts) -> None:
    """Check that a file's space is fit to be one, and has the dimension that its model's card says.

    Raises:
        BadInput: it is not, or has another.
    """
    from mien.zoo import cards

    space = facts.space
    if not _SPACE.fullmatch(space) or not space.isprintable():
        raise BadInput(f"{path}: expected an embedding space such as sface@fb143eea, got {space[:80]!r}")
    # A card of the user's own that cannot be read has nothing to do with this file.
    with suppress(BadCard):
        for card in cards():
            if card.embedding is None or space.removesuffix(_FLIPPED) != card.space or not facts.templates:
                continue
            if facts.dimension != card.embedding.dimension:
                raise BadInput(
                    f"{path}: templates of {space} have dimension {card.embedding.dimension}, "
                    f"those in the file have {facts.dimension}"
                )


def require_rows(path: str, facts: FileFacts, block: Block, start: int) -> None:
    """Check that the templates of a block can be imported.

    Args:
        path: the file, for messages.
        facts: what it says of its templates.
        block: some of them.
        start: the row of the first of these in the file, counted from 1.

    Raises:
        BadInput: a name, a tag, a vector, a time or a portrait is not fit; the message says in which row.
    """
    good: set[str] = set()
    good_tags: set[str] = set()
    for row, (name, tags) in enumerate(zip(block.identities, block.tags, strict=True), start):
        try:
            if name not in good:
                canonical_name(name)
                good.add(name)
            for tag in tags:
                if tag not in good_tags:
                    canonical_name(tag, "tag")
                    good_tags.add(tag)
        except BadInput as error:
            raise BadInput(f"{path}: row {row}: {error}") from error
    _require_vectors(path, facts, block, start)
    known = np.nan_to_num(block.created, nan=0.0)
    bad = np.flatnonzero((known < 0) | (known > time.time() + _AHEAD_S))
    if len(bad):
        raise BadInput(
            f"{path}: row {start + bad[0]}: created: expected a time in the past, in seconds since 1970, "
            f"got {block.created[bad[0]]:.15g}"
        )
    _require_landmarks(path, block, start)


def _require_landmarks(path: str, block: Block, start: int) -> None:
    """Without its landmarks no model can embed a portrait."""
    if block.pictures is None or block.landmarks is None:
        return
    lacking = ~np.isfinite(block.landmarks).all(axis=(1, 2))
    for place in np.flatnonzero(lacking).tolist():
        if block.pictures[place] is not None:
            raise BadInput(
                f"{path}: row {start + place}: expected 10 finite numbers in column landmarks beside the portrait, "
                f"got {block.landmarks[place].ravel().tolist()}"
            )


def _require_vectors(path: str, facts: FileFacts, block: Block, start: int) -> None:
    if block.vectors.shape[1] != facts.dimension:
        raise BadInput(
            f"{path}: row {start}: expected a vector of dimension {facts.dimension}, got {block.vectors.shape[1]}"
        )
    try:
        Templates(block.vectors, facts.space)
    except BadInput:
        for row, vector in enumerate(block.vectors, start):
            try:
                Templates(vector[None], facts.space)
            except BadInput as error:
                raise BadInput(f"{path}: row {row}: {error.message.replace('Templates.vectors', 'vector')}") from error
        raise
