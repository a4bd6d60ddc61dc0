"""Cards of several embedders whose templates, weighted and put one behind the other, are one template.

The comparison score of two such templates is the weighted mean of the parts' scores, since each part enters with the
square root of its weight: score-level fusion by the weighted sum rule (ISO/IEC TR 24722), in a template that any
gallery can hold and search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mien.errors import BadCard
from mien.geometry import similarity_transforms
from mien.zoo.schema import Card, PartFacts, Point, fingerprint, parse_card

__all__ = ["fuse"]


def fuse(
    name: str, parts: Sequence[tuple[Card, float]], *, threshold: float, note: str = "", description: str = ""
) -> Card:
    """A card of two or more embedders.

    Its chip is a square that holds those of all parts, at the scale of the part that looks closest, from which the
    parts' own chips are cut.

    Args:
        name: what to call it.
        parts: cards of embedders, and each one's share of the score; the shares are made to add up to 1.
        threshold: the score from which two of its templates count as of one person.
        note: where the threshold comes from.
        description: one sentence; by default the parts' names and shares.

    Raises:
        BadCard: fewer than two parts, one twice or no embedder with a file of its own, a share not above 0, a name or
            a threshold that is none.
    """
    for card, share in parts:
        if card.embedding is None or card.parts:
            raise BadCard(f"{card.name}: expected an embedder with a file of its own, to be a part of {name}")
        if not share > 0 or math.isinf(share):
            raise BadCard(f"{card.name}: expected a share above 0, got {share}")
    if len({card.file.sha256 for card, _ in parts}) < max(2, len(parts)):
        raise BadCard(f"{name}: expected two or more parts, each once, got {[card.name for card, _ in parts]}")
    total = sum(share for _, share in parts)
    weights = [round(share / total, 6) for _, share in parts]
    # Rounded shares may not add up to 1; a millionth more or less moves the largest the least.
    largest = weights.index(max(weights))
    weights[largest] = round(1 - sum(weights[:largest] + weights[largest + 1 :]), 6)
    if not min(weights) > 0:
        raise BadCard(f"{name}: expected shares of a millionth of their sum and more, got {[s for _, s in parts]}")
    facts = tuple(
        PartFacts(card=card.name, sha256=card.file.sha256, weight=weight)
        for (card, _), weight in zip(parts, weights, strict=True)
    )
    size, points = _frame([card for card, _ in parts])
    licenses = sorted({card.license.id for card, _ in parts})
    embedding = {
        "dimension": sum(card.embedding.dimension for card, _ in parts if card.embedding is not None),
        "points": points,
        "threshold": threshold,
        "threshold_note": note,
    }
    told = description or "Fused: " + ", ".join(f"{part.weight:.2f} {part.card}" for part in facts)
    tables = {
        "name": name,
        "task": "embedder",
        "family": "fused",
        "description": told,
        "file": {"sha256": fingerprint(facts, size, points)},
        "license": {"id": " AND ".join(licenses), "commercial": all(c.license.commercial for c, _ in parts)},
        "input": {"size": size, "color": "rgb", "mean": [0.0, 0.0, 0.0], "scale": 1.0},
        "embedding": embedding,
        "parts": [part.model_dump() for part in facts],
    }
    return parse_card(tables, name)


def _frame(cards: Sequence[Card]) -> tuple[int, tuple[Point, Point, Point, Point, Point]]:
    """Side of the common chip, and where the landmarks lie in it."""
    references = [np.asarray(card.embedding.points, np.float64) for card in cards if card.embedding is not None]
    sizes = [float(card.input.size or 0) for card in cards]
    spans = [float(np.linalg.norm(points[1] - points[0])) for points in references]
    closest = references[int(np.argmax(spans))]
    corners = []
    for points, size in zip(references, sizes, strict=True):
        matrix = similarity_transforms(points[None].astype(np.float32), closest.astype(np.float32))[0]
        square = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
        corners.append(square @ matrix[:, :2].T + matrix[:, 2])
    low, high = np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0)
    side = math.ceil(max(high - low)) + 2
    # Whole pixels, so that the closest part's chip is cut out of the common one without being drawn anew.
    shift = -np.floor((low + high - side) / 2)
    placed = [(round(float(x), 4), round(float(y), 4)) for x, y in closest + shift]
    first, second, third, fourth, fifth = placed
    return side, (first, second, third, fourth, fifth)
