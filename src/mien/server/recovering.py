"""What of an enrollment was stored before the process died: templates found again by their vectors."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mien.errors import IdentityNotFound
from mien.galleries import Gallery
from mien.types import Templates

__all__ = ["already_stored", "ids_before"]

# The same image gives the same vector up to 1e-5 whatever its neighbors, so a cosine of 1 - 1e-10; int8 costs 1e-4.
_SAME = {"float32": 1 - 1e-6, "int8": 1 - 1e-6, "int8-only": 1 - 1e-3}


def ids_before(gallery: Gallery, identity: str) -> list[int]:
    """The ids of an identity's templates, to be noted before more are stored; none of an unknown identity."""
    try:
        return gallery.templates(identity)[0]
    except IdentityNotFound:
        return []


def already_stored(gallery: Gallery, identity: str, templates: Templates, before: Collection[int]) -> list[int | None]:
    """The id under which each template was stored since, or None.

    Args:
        gallery: where it would be.
        identity: whose templates they are.
        templates: those that were to be stored.
        before: the ids that the identity had before; see ``ids_before``.

    Returns:
        For each template an id, each id at most once.
    """
    try:
        ids, stored = gallery.templates(identity)
    except IdentityNotFound:
        return [None] * len(templates)
    known = frozenset(before)
    new = [number for number, template_id in enumerate(ids) if template_id not in known]
    if not new or stored.space != templates.space:
        return [None] * len(templates)
    scores = templates.vectors @ stored.vectors[new].T
    least = _SAME[gallery.options.codec]
    found: list[int | None] = []
    for row in scores:
        best = int(np.argmax(row))
        if row[best] < least:
            found.append(None)
            continue
        found.append(ids[new[best]])
        scores[:, best] = -np.inf
    return found
