"""A whole gallery to another embedding model: from the portraits it kept or, where there are none, by a learned map.

New vectors are stored beside the old ones, batch by batch, so that a run that was killed is gone on with. The gallery
stays in its old space, and is searched and enrolled in there, until every template has its new vector; then it
switches, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.embedding import Embedder
from mien.errors import BadImage, BadInput, GalleryError, SpaceMismatch
from mien.galleries.exchange_rows import Migratable, Migration, Unmigrated
from mien.matching.mapping import SpaceMap
from mien.recognizer.portraits import chips_of
from mien.types import FloatArray, Templates

__all__ = ["begin_migration", "migrate", "plan_migration"]

# A second or so on a slow machine: so often a bar moves, and so soon an interruption is heard.
_PORTRAITS_A_BATCH = 16
_VECTORS_A_BATCH = 20_000

_Rows = list[tuple[int, FloatArray]]


def plan_migration(gallery: Migratable, embedder: Embedder, space_map: SpaceMap | None = None) -> Migration:
    """How much there is to do to move a gallery to an embedder's space; nothing is changed.

    Raises:
        GalleryError: there are templates without a portrait and no map; one by a map is under way and no map was given;
            another migration is under way; the gallery is in that space already or has none yet.
        SpaceMismatch: the map is from or to another space.
    """
    if space_map is not None:
        if (space_map.source, space_map.target) != (gallery.space, embedder.space):
            raise SpaceMismatch(
                f"expected a map from {gallery.space} to {embedder.space}, "
                f"got one from {space_map.source} to {space_map.target}"
            )
        if space_map.matrix.shape[1] != embedder.dimension:
            raise BadInput(f"expected a map to dimension {embedder.dimension}, got {space_map.matrix.shape[1]}")
    before = gallery.migration()
    by_map = before is not None and before.target == embedder.space and before.method is not None
    if before is not None and by_map and space_map is None:
        raise GalleryError(f"a migration by a map is under way, {before.done} templates are done: give that map again")
    state = gallery.plan_migration(embedder.space, embedder.dimension, method=_method(space_map))
    if space_map is None and state.left_without_portrait:
        raise GalleryError(
            f"{state.left_without_portrait} of {state.done + state.left} templates have no portrait to embed anew: "
            f"give a map from {gallery.space} to {embedder.space} (mien gallery fit-map), or enroll their photos anew"
        )
    return state


def begin_migration(gallery: Migratable, embedder: Embedder, space_map: SpaceMap | None = None) -> Migration:
    """Begin to move a gallery to an embedder's space, without a step of it; or find out how far it is on its way there.

    Raises:
        GalleryError: as ``plan_migration``; the gallery is then as it was.
        SpaceMismatch: as ``plan_migration``.
    """
    plan_migration(gallery, embedder, space_map)
    return gallery.begin_migration(embedder.space, embedder.dimension, method=_method(space_map))


def _method(space_map: SpaceMap | None) -> str | None:
    return None if space_map is None else space_map.digest


def migrate(gallery: Migratable, embedder: Embedder, space_map: SpaceMap | None = None) -> Iterator[int]:
    """Move a gallery to an embedder's space; the last step switches it.

    A template with a portrait is embedded anew. One without is mapped, and marked as such; so is one whose portrait is
    damaged. Stop whenever you like: the next call goes on.

    Args:
        gallery: the gallery.
        embedder: of the new model.
        space_map: for templates without a portrait.

    Yields:
        How many templates have got their new vector, after each batch.

    Raises:
        GalleryError: as ``plan_migration``, a portrait is damaged and there is no map, or somebody else gave this
            migration up and began another one.
        SpaceMismatch: as ``plan_migration``.
    """
    state = begin_migration(gallery, embedder, space_map)
    limit = _PORTRAITS_A_BATCH if state.left > state.left_without_portrait else _VECTORS_A_BATCH
    while True:
        after = 0
        while rows := gallery.unmigrated(limit, after=after):
            after = rows[-1].template_id
            yield _store(gallery, rows, embedder, space_map)
        # Whoever enrolled meanwhile enrolled in the old space.
        if gallery.finish_migration(embedder.space, method=_method(space_map)) == 0:
            return


def _store(gallery: Migratable, rows: list[Unmigrated], embedder: Embedder, space_map: SpaceMap | None) -> int:
    """Make and store the new vectors of some templates; how many were stored."""
    embedded, unseen = _embedded(rows, embedder)
    target, method = embedder.space, _method(space_map)
    stored = gallery.put_pending(embedded, target=target, method=method, mapped=False) if embedded else 0
    if unseen:
        new = _mapped(gallery, unseen, space_map)
        stored += gallery.put_pending(new, target=target, method=method, mapped=True)
    return stored


def _embedded(rows: list[Unmigrated], embedder: Embedder) -> tuple[_Rows, list[Unmigrated]]:
    """The new vectors of those that have a good portrait, and the others."""
    size = embedder.chip_size
    chips = [np.empty((0, size, size, 3), np.uint8)]
    done: list[int] = []
    others: list[Unmigrated] = []
    for row in rows:
        try:
            if row.picture is None or row.landmarks is None:
                others.append(row)
                continue
            chips.append(chips_of([row.picture], row.landmarks[None], embedder))
            done.append(row.template_id)
        except (BadImage, BadInput):
            others.append(row)
    vectors = embedder.embed(np.concatenate(chips)).vectors
    return list(zip(done, vectors, strict=True)), others


def _mapped(gallery: Migratable, rows: list[Unmigrated], space_map: SpaceMap | None) -> _Rows:
    if space_map is None:
        bad = [row.template_id for row in rows if row.picture is not None]
        reason = f"the portrait of template {bad[0]} is damaged" if bad else "some enrolled meanwhile have no portrait"
        raise GalleryError(
            f"{len(rows)} templates cannot be embedded anew: {reason}; remove them, or give a map "
            f"from {gallery.space} to the new space (mien gallery fit-map)"
        )
    old = Templates(np.asarray([row.vector for row in rows], np.float32), space_map.source)
    new = space_map.apply(old).vectors
    return [(row.template_id, vector) for row, vector in zip(rows, new, strict=True)]
