"""What an import adds to templates that a SQL gallery has already: tags of their identities, and missing portraits."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from mien.galleries.batch import canonical_tags
from mien.galleries.exchange_rows import Block
from mien.galleries.names import canonical_name
from mien.galleries.sql import reading
from mien.galleries.sql.audit import log_changes
from mien.galleries.sql.database import Session
from mien.galleries.sql.enrolling import identity_numbers, put_tags
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.matching import encode
from mien.types import FloatArray

__all__ = ["Additions", "additions", "put"]


@dataclass(frozen=True, slots=True)
class Additions:
    """What is missing in a gallery.

    Attributes:
        tags: identity number and canonical tag.
        portraits: template id, identity number, a JPEG file and its ``(5, 2) float32`` landmarks.
    """

    tags: list[tuple[int, str]] = field(default_factory=list)
    portraits: list[tuple[int, int, bytes, FloatArray]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tags or self.portraits)


def additions(session: Session, shelf: Shelf, block: Block) -> Additions:
    """What a block holds about templates of the gallery that the gallery does not; see ``Portable.amend``."""
    names = [canonical_name(name) for name in block.identities]
    wanted: dict[str, set[str]] = {}
    for name, own in zip(names, block.tags, strict=True):
        wanted.setdefault(name, set()).update(canonical_tags(own))
    numbers = identity_numbers(session, shelf, [*wanted])
    held = reading.tags_of(session, shelf, sorted(numbers.values()))
    lacking = {number: wanted[name].difference(held.get(number, ())) for name, number in numbers.items()}
    tags = [(number, tag) for number in sorted(lacking) for tag in sorted(lacking[number])]
    return Additions(tags, _portraits(session, shelf, block, [numbers.get(name) for name in names]))


def _portraits(
    session: Session, shelf: Shelf, block: Block, owners: list[int | None]
) -> list[tuple[int, int, bytes, FloatArray]]:
    if block.pictures is None or block.landmarks is None or not shelf.options.portraits:
        return []
    pictured = [place for place, picture in enumerate(block.pictures) if picture is not None]
    bare = _without_portrait(session, shelf, sorted({n for n in (owners[k] for k in pictured) if n is not None}))
    found = []
    pieces = encode(block.vectors, shelf.options.codec)
    for place in pictured if bare else ():
        owner, picture = owners[place], block.pictures[place]
        ids = None if owner is None else bare.get((owner, pieces[place].tobytes()))
        if ids and owner is not None and picture is not None:
            found.append((ids.popleft(), owner, picture, block.landmarks[place]))
    return found


def _without_portrait(session: Session, shelf: Shelf, numbers: list[int]) -> dict[tuple[int, bytes], deque[int]]:
    """The templates of some identities that have no portrait, by identity and encoded vector."""
    space, dimension = reading.space_of(session, shelf)
    condition, parameters = shelf.shown("t")
    found: dict[tuple[int, bytes], deque[int]] = {}
    for part in chunks(numbers):
        rows = session.execute(
            "SELECT t.id, t.identity_id, t.vector FROM templates t "
            f"WHERE t.gallery_id = ? AND t.identity_id IN {marks(part)}{condition} AND NOT EXISTS "
            "(SELECT 1 FROM portraits q WHERE q.gallery_id = t.gallery_id AND q.template_id = t.id) ORDER BY t.id",
            (shelf.gallery_id, *part, *parameters),
        )
        if not rows:
            continue
        ids, owners, stored = zip(*rows, strict=True)
        vectors = shelf.sealer.templates(stored, ids, owners, space or "", dimension).vectors
        for id_, owner, piece in zip(ids, owners, encode(vectors, shelf.options.codec), strict=True):
            found.setdefault((int(owner), piece.tobytes()), deque()).append(int(id_))
    return found


def put(session: Session, shelf: Shelf, missing: Additions) -> None:
    """Store what is missing, in a writing transaction, and log it."""
    put_tags(session, shelf, missing.tags)
    tagged = [*dict.fromkeys(number for number, _ in missing.tags)]
    held = reading.tags_of(session, shelf, tagged)
    log_changes(session, shelf, "tag", [(number, None, f"tags={len(held[number])}") for number in tagged])
    rows = (
        (shelf.gallery_id, id_, *shelf.sealer.sealed_portrait(picture, landmarks, id_))
        for id_, _, picture, landmarks in missing.portraits
    )
    session.insert("portraits", ("gallery_id", "template_id", "picture", "landmarks"), rows)
    counts = Counter(owner for _, owner, _, _ in missing.portraits)
    log_changes(session, shelf, "enroll", [(owner, None, f"portraits={count}") for owner, count in counts.items()])
