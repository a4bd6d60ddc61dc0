"""What is to be enrolled, checked and laid out in columns before any gallery is touched."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput, SpaceMismatch, TemplateNotFound
from mien.galleries.names import canonical_name
from mien.galleries.protocol import NewEnrollment, Portraits
from mien.types import Enrollment, FloatArray, Templates

__all__ = [
    "Batch",
    "canonical_names",
    "canonical_tags",
    "checked_batch",
    "checked_id",
    "enrollments",
    "require_fit",
]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Templates to enroll, in order; the columns are as long as there are items that hold templates.

    Attributes:
        space: of all templates; None where there are no items at all.
        vectors: ``(n, d) float32``, those of all items one behind the other.
        names: each item's canonical name.
        counts: how many templates each item has.
        tags: canonical tags to give to the identities that are to have some.
        pictures: one a template, or None where a template has none; None where no item has any.
        landmarks: ``(n, 5, 2) float32``, NaN where there is no picture; None as for ``pictures``.
    """

    space: str | None
    vectors: FloatArray
    names: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    tags: Mapping[str, set[str]] = field(default_factory=dict)
    pictures: Sequence[bytes | None] | None = None
    landmarks: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def require_fit(self, space: str | None, dimension: int | None) -> None:
        """Check the batch against a gallery's space (None: it has none yet); raises what ``require_fit`` raises."""
        if self.space is not None and space is not None and dimension is not None:
            _require_fit(self.space, self.dimension, space, dimension)

    def owners(self, numbers: Mapping[str, int]) -> NDArray[np.int64]:
        """``(n,)``, the identity number of each template."""
        return np.repeat(np.fromiter(map(numbers.__getitem__, self.names), np.int64, len(self.names)), self.counts)


def checked_batch(items: Iterable[NewEnrollment | tuple[str, Templates]]) -> Batch:
    """The items in columns, checked among themselves.

    Raises:
        BadInput: a name or tag is not fit, an item is neither of the two kinds, or two differ in dimension.
        SpaceMismatch: two items are of different spaces.
    """
    names: list[str] = []
    filled: list[Templates] = []
    tags: dict[str, set[str]] = {}
    portraits: dict[int, Portraits] = {}
    space, dimension = None, 0
    for item in items:
        own_tags: Collection[str] = ()
        own_portraits: Portraits | None = None
        if type(item) is tuple and len(item) == 2:
            identity, templates = item
        else:
            identity, templates, own_tags, own_portraits = _parts(item)
        name = canonical_name(identity)
        if not isinstance(templates, Templates):
            raise BadInput(f"expected Templates for {name!r}, got {type(templates).__name__}")
        if space is None:
            space, dimension = templates.space, templates.dimension
            if dimension < 1:
                raise BadInput("expected templates of dimension 1 or more, got dimension 0")
        elif templates.space != space:
            raise SpaceMismatch(f"expected all templates of {space}, got some of {templates.space}")
        elif templates.vectors.shape[1] != dimension:
            _require_fit(space, templates.dimension, space, dimension)
        own = canonical_tags(own_tags) if own_tags else ()
        if not len(templates.vectors):
            continue
        if own:
            tags.setdefault(name, set()).update(own)
        if own_portraits is not None:
            portraits[len(names)] = own_portraits
        names.append(name)
        filled.append(templates)
    counts = [len(templates.vectors) for templates in filled]
    vectors = np.concatenate([t.vectors for t in filled]) if filled else np.empty((0, dimension), np.float32)
    pictures, landmarks = _side_by_side(portraits, counts)
    return Batch(space, vectors, names, counts, tags, pictures, landmarks)


def _parts(
    item: NewEnrollment | tuple[str, Templates],
) -> tuple[str, Templates, Collection[str], Portraits | None]:
    if isinstance(item, NewEnrollment):
        return item.identity, item.templates, item.tags, item.portraits
    try:
        identity, templates = item
    except (TypeError, ValueError) as error:
        raise BadInput(f"expected pairs of an identity and its Templates, got {type(item).__name__}") from error
    return identity, templates, (), None


def _side_by_side(
    portraits: Mapping[int, Portraits], counts: list[int]
) -> tuple[list[bytes | None] | None, FloatArray | None]:
    if not portraits:
        return None, None
    pictures: list[bytes | None] = []
    landmarks = np.full((sum(counts), 5, 2), np.nan, np.float32)
    for place, count in enumerate(counts):
        given = portraits.get(place)
        if given is None:
            pictures.extend(repeat(None, count))
        else:
            landmarks[len(pictures) : len(pictures) + count] = given.landmarks
            pictures.extend(given.pictures)
    return pictures, landmarks


def canonical_tags(tags: Collection[str]) -> set[str]:
    """Tags as they are stored; raises BadInput for one that is not fit, and for a string instead of several."""
    return _canonical(tags, "tag")


def canonical_names(identities: Collection[str]) -> set[str]:
    """Identities as they are stored; raises what ``canonical_tags`` raises."""
    return _canonical(identities, "identity")


def _canonical(names: Collection[str], what: str) -> set[str]:
    if isinstance(names, (str, bytes)):
        raise BadInput(f"{what}: expected several strings, got one: {names[:40]!r}")
    return {canonical_name(name, what) for name in names}


def enrollments(batch: Batch, first_id: int) -> list[Enrollment]:
    """What a gallery returns for a batch whose templates got ids from ``first_id`` on."""
    owners = chain.from_iterable(map(repeat, batch.names, batch.counts))
    return list(map(Enrollment, owners, range(first_id, first_id + len(batch))))


def require_fit(templates: Templates, space: str, dimension: int) -> None:
    """Check that templates belong to a gallery's space and have its dimension.

    Raises:
        SpaceMismatch: another space.
        BadInput: another dimension.
    """
    _require_fit(templates.space, templates.dimension, space, dimension)


def _require_fit(space: str, dimension: int, expected_space: str, expected_dimension: int) -> None:
    if space != expected_space:
        raise SpaceMismatch(f"the gallery holds templates of {expected_space}, got templates of {space}")
    if dimension != expected_dimension:
        raise BadInput(f"the gallery holds templates of dimension {expected_dimension}, got dimension {dimension}")


def checked_id(template_id: int) -> int:
    """A template id as an int that a gallery can hold; raises TemplateNotFound for what no gallery gives out."""
    try:
        number = operator.index(template_id)
    except TypeError as error:
        raise TemplateNotFound(f"expected a template's number, got {template_id!r:.40}") from error
    if not 0 < number < 2**63:
        raise TemplateNotFound(f"the gallery holds no template {number}")
    return number
