"""Pairs of people of different packs that a person has to decide on: written as a list, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadInput
from mien.evaluation.protocols.tables import TableRow, read_table

__all__ = ["PAIRS_FILE", "REVIEW_FILE", "Decision", "PeoplePair", "read_decisions"]

PAIRS_FILE = "pairs.csv"
"""Beside the merged index: everybody who may be somebody of another pack, with the decision and its reason."""

REVIEW_FILE = "review.csv"
"""Beside the merged index: the pairs of people that nobody has decided on."""

_SAME = frozenset(("same", "1", "yes", "true"))
_DIFFERENT = frozenset(("different", "0", "no", "false"))
_PEOPLE = ("pack_a", "identity_a", "pack_b", "identity_b")


@dataclass(frozen=True, slots=True)
class PeoplePair:
    """Two people of different packs who may be one.

    Attributes:
        decision: ``same``, ``different``, or empty where a person has to decide.
        reason: of it: ``over_threshold``, ``decided``, ``uncertain``, ``not_mutual`` (another person is more like one
            of the two), ``same_bytes`` (they share an image), ``conflict`` (it contradicts a stronger pair), ``linked``
            (they are one by other pairs).
        pack_a: the one's pack.
        identity_a: the one's name.
        pack_b: the other's pack.
        identity_b: the other's name.
        score: the mean score of their images, those left out that are unlike the rest.
        center_score: of their centers.
        mutual: whether each is the other's nearest, by centers.
        shared: how many images both have, byte for byte.
        row_a: of the two most similar images, the one's row.
        image_a: that image's name.
        row_b: the other's row.
        image_b: that image's name.
        image_score: of these two.
    """

    decision: str
    reason: str
    pack_a: str
    identity_a: str
    pack_b: str
    identity_b: str
    score: float
    center_score: float
    mutual: bool
    shared: int
    row_a: int
    image_a: str
    row_b: int
    image_b: str
    image_score: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided on two people.

    Attributes:
        a: pack and name of the one.
        b: of the other.
        same: whether they are one.
        where: file and line.
    """

    a: tuple[str, str]
    b: tuple[str, str]
    same: bool
    where: str


def read_decisions(file: Path, people: Sequence[tuple[str, str]]) -> list[Decision]:
    """Read a review list in which somebody wrote ``same`` or ``different`` as decision; empty ones are passed over.

    Args:
        file: a table with the columns pack_a, identity_a, pack_b, identity_b and decision.
        people: pack and name of everybody.

    Raises:
        BadInput: the table cannot be read, names a pack or a person that is not there, says something else than same
            or different, or says two things of the same two people.
    """
    table = read_table(file, (*_PEOPLE, "decision"))
    known = set(people)
    packs = sorted({pack for pack, _ in people})
    made: dict[frozenset[tuple[str, str]], Decision] = {}
    for row in table.rows:
        said = row.cells.get("decision", "").lower()
        if not said:
            continue
        a, b = (_person(row, side, known, packs) for side in ("a", "b"))
        if said not in _SAME | _DIFFERENT:
            raise BadInput(f"{row.where}: expected 'same', 'different' or nothing as decision, got {said!r}")
        if a == b:
            raise BadInput(f"{row.where}: expected two people, got {a[1]!r} of {a[0]} twice")
        decision = Decision(a, b, said in _SAME, row.where)
        before = made.setdefault(frozenset((a, b)), decision)
        if before.same != decision.same:
            raise BadInput(
                f"{row.where}: expected one decision on {a[1]!r} of {a[0]} and {b[1]!r} of {b[0]}, "
                f"got the opposite of {before.where}"
            )
    return list(made.values())


def _person(row: TableRow, side: str, known: set[tuple[str, str]], packs: Sequence[str]) -> tuple[str, str]:
    pack, name = row[f"pack_{side}"], row[f"identity_{side}"]
    if pack not in packs:
        raise BadInput(f"{row.where}: expected one of the packs {', '.join(packs)}, got {pack!r}")
    if (pack, name) not in known:
        raise BadInput(f"{row.where}: expected a person of {pack}, got {name!r}, who is not in it")
    return pack, name
