"""What leaves a gallery and enters one in bulk: blocks of templates, and the rows of a migration to another model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.galleries.protocol import GalleryOptions
from mien.matching import Codec
from mien.types import FloatArray

__all__ = ["Block", "FileFacts", "Migratable", "Migration", "Portable", "Unmigrated"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """n templates on their way out of a gallery or into one.

    Attributes:
        template_ids: ``(n,) int64``.
        identities: whose each template is.
        tags: the tags of each template's identity, sorted.
        vectors: ``(n, d) float32`` of unit norm.
        created: ``(n,) float64``, when each was enrolled, in seconds since 1970 (UTC).
        mapped: ``(n,) bool``, whether it came out of a learned map and not out of a model.
        pictures: the portrait of each as a JPEG file, or None where there is none; None if they were not asked for.
        landmarks: ``(n, 5, 2) float32`` in the portraits' pixels, NaN where there is none; None as for ``pictures``.

    Raises:
        BadInput: the lengths or shapes do not fit.
    """

    template_ids: NDArray[np.int64]
    identities: Sequence[str]
    tags: Sequence[tuple[str, ...]]
    vectors: FloatArray
    created: NDArray[np.float64]
    mapped: NDArray[np.bool_]
    pictures: Sequence[bytes | None] | None = None
    landmarks: FloatArray | None = None

    def __post_init__(self) -> None:
        count = len(self.template_ids)
        columns = (self.identities, self.tags, self.created, self.mapped)
        if any(len(column) != count for column in columns) or self.vectors.shape[:1] != (count,):
            lengths = [count, len(self.identities), len(self.tags), len(self.created), len(self.mapped)]
            raise BadInput(f"Block: lengths differ: {lengths}, vectors {self.vectors.shape}")
        if (self.pictures is None) != (self.landmarks is None):
            raise BadInput("Block: expected pictures and landmarks, or neither")
        if self.landmarks is not None and self.landmarks.shape != (count, 5, 2):
            raise BadInput(f"Block.landmarks: expected ({count}, 5, 2), got {self.landmarks.shape}")
        if self.pictures is not None and len(self.pictures) != count:
            raise BadInput(f"Block.pictures: expected {count}, got {len(self.pictures)}")

    def __len__(self) -> int:
        return len(self.template_ids)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Block:
        """The chosen templates, as a ``Block`` again."""
        places = np.arange(len(self))[rows]
        return Block(
            self.template_ids[places],
            [self.identities[k] for k in places],
            [self.tags[k] for k in places],
            self.vectors[places],
            self.created[places],
            self.mapped[places],
            None if self.pictures is None else [self.pictures[k] for k in places],
            None if self.landmarks is None else self.landmarks[places],
        )


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file of templates says of all of them.

    Attributes:
        space: their embedding space.
        dimension: length of a template.
        codec: how the gallery that they come from keeps them; in the file they are float32.
        templates: how many there are.
        portraits: whether the file has portraits.
    """

    space: str
    dimension: int
    codec: Codec
    templates: int
    portraits: bool = False


@runtime_checkable
class Portable(Protocol):
    """A gallery that gives out and takes in all that it knows of its templates, in bulk."""

    def blocks(self, *, rows: int = 20_000, portraits: bool = False) -> Iterator[Block]:
        """All templates as they are at one moment, by rising id, at most ``rows`` at a time in memory."""
        ...

    def restore(self, block: Block, space: str) -> list[int]:
        """Take in templates that were given out before, with when they were enrolled and whether they are mapped.

        Returns:
            Their ids here: new ones, in the block's order. What is returned has been stored for good.

        Raises:
            SpaceMismatch: the gallery holds templates of another space.
            BadInput: a name or the dimension does not fit.
        """
        ...

    def amend(self, block: Block) -> None:
        """Add what a block knows of templates that are here already: tags to their identities, and portraits.

        A gallery that keeps portraits takes one for each equal template of that identity that has none. Whoever is
        not here is passed over.

        Raises:
            BadInput: a name or a tag does not fit.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Unmigrated:
    """A template that has no vector in the target space yet.

    Attributes:
        template_id: its id.
        vector: ``(d,) float32`` of unit norm, in the gallery's space.
        picture: its portrait as a JPEG file, or None.
        landmarks: ``(5, 2) float32`` in the portrait's pixels, or None.
        mapped: whether the vector came out of a learned map.
    """

    template_id: int
    vector: FloatArray
    picture: bytes | None
    landmarks: FloatArray | None
    mapped: bool


@dataclass(frozen=True, slots=True)
class Migration:
    """How far a gallery is on its way to another embedding space.

    Attributes:
        target: the space.
        dimension: of its templates.
        method: what makes templates without a portrait, where that matters; None if nothing does.
        done: how many templates have their new vector.
        left: how many have none yet.
        left_without_portrait: how many of these have no portrait.
    """

    target: str
    dimension: int
    method: str | None
    done: int
    left: int
    left_without_portrait: int

    @property
    def total(self) -> int:
        """How many templates are to have one."""
        return self.done + self.left


@runtime_checkable
class Migratable(Protocol):
    """A gallery whose templates can be replaced by those of another model, all at once, after any number of steps.

    Until ``finish_migration`` it is searched, and enrolled in, in its old space.
    """

    @property
    def space(self) -> str | None:
        """The embedding space that is searched now."""
        ...

    @property
    def options(self) -> GalleryOptions:
        """How the gallery keeps what it holds."""
        ...

    def plan_migration(self, target: str, dimension: int, *, method: str | None = None) -> Migration:
        """What ``begin_migration`` would return, or the error that it would raise; nothing is changed."""
        ...

    def begin_migration(self, target: str, dimension: int, *, method: str | None = None) -> Migration:
        """Begin, or go on with a migration to the same target by the same method.

        One that has no method so far takes the one that is given, and keeps what it has done.

        Raises:
            GalleryError: the gallery is in that space already or has none yet, or another migration is under way; the
                message says how to give that up.
        """
        ...

    def migration(self) -> Migration | None:
        """The migration under way, if there is one."""
        ...

    def unmigrated(self, limit: int, *, after: int = 0) -> list[Unmigrated]:
        """The first ``limit`` templates of ids above ``after`` that have no new vector yet."""
        ...

    def put_pending(
        self, rows: Sequence[tuple[int, FloatArray]], *, target: str, method: str | None = None, mapped: bool
    ) -> int:
        """Store new vectors by template id, for good; those of templates removed meanwhile are passed over.

        Args:
            rows: template ids and vectors.
            target: the space that the vectors are in.
            method: what the migration was begun with.
            mapped: whether they came out of a learned map.

        Returns:
            How many were stored.

        Raises:
            GalleryError: the migration under way is another one, or there is none.
        """
        ...

    def finish_migration(self, target: str, *, method: str | None = None) -> int:
        """Switch to the space ``target``, if every template has its new vector: then 0, else how many have none.

        Raises:
            GalleryError: the migration under way is another one, or there is none.
        """
        ...

    def abandon_migration(self) -> int:
        """Give up the migration under way, if there is one, and erase what it has stored; the old space stays.

        Returns:
            How many templates had a new vector, which is erased.
        """
        ...

    def mapped(self) -> int:
        """How many templates came out of a learned map and not out of a model."""
        ...
