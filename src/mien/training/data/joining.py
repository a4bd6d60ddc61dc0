"""The rows of several packs in one index, once it is known who is who."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.training.data.changes import Change
from mien.training.data.describing import Described
from mien.training.data.grouping import Groups
from mien.training.data.index import Index, join_indexes
from mien.training.data.people import Person
from mien.training.data.reviewing import PeoplePair

__all__ = ["Pack", "Shared", "put_together"]

Shared = Literal["join", "drop"]
"""What becomes of a person of several packs: the images together, or those of the first pack alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A pack to be merged.

    Attributes:
        name: what lists call it, another one for each.
        index: its images.
        described: their templates.
    """

    name: str
    index: Index
    described: Described


def put_together(
    packs: Sequence[Pack], groups: Groups, pairs: Sequence[PeoplePair], out: Path | str, shared: Shared
) -> tuple[Index, list[Change]]:
    """All rows that stay, with labels without gaps, and what became of the others.

    Args:
        packs: the packs.
        groups: who is one.
        pairs: what was found; gives the numbers for the list of changes.
        out: where the index will be written.
        shared: see there.
    """
    assembly = _Assembly(packs, groups, pairs, shared)
    for number in range(len(packs)):
        assembly.add(number)
    whole = join_indexes([pack.index for pack in packs], out)
    named = whole.with_columns(label=assembly.labels, identity=assembly.identities)
    return named.take(np.array(assembly.kept, np.bool_)).relabeled(), assembly.changes


class _Assembly:
    """Rows of the merged index, one after another."""

    def __init__(self, packs: Sequence[Pack], groups: Groups, pairs: Sequence[PeoplePair], shared: Shared) -> None:
        self.packs, self.groups, self.shared = packs, groups, shared
        self.names = _names(packs, groups)
        same = [pair for pair in pairs if pair.decision == "same"]
        # The strongest pair that made a person one with somebody of an earlier pack.
        self.evidence = {(p.pack_b, p.identity_b): p for p in sorted(same, key=lambda pair: pair.score)}
        self._images = [pack.index.texts("name") for pack in packs]
        self.changes: list[Change] = []
        self.kept: list[bool] = []
        self.labels: list[int] = []
        self.identities: list[str] = []
        self._numbers: dict[Person, int] = {}
        self._seen: dict[tuple[Person, bytes], tuple[int, int]] = {}

    def add(self, k: int) -> None:
        """The rows of a pack."""
        pack = self.packs[k]
        said, digests = pack.index.texts("identity"), pack.index.digests
        for row, label in enumerate(pack.index.labels.tolist()):
            if label < 0:
                self._take(True, -1, said[row])
                continue
            first = self.groups.first((k, label))
            change = self._change(k, row, (k, label), first, digests[row])
            stays = change is None or change.action != "removed"
            if change is not None:
                self.changes.append(change)
            if stays:
                self._seen.setdefault((first, digests[row]), (k, row))
            self._take(stays, self._numbers.setdefault(first, len(self._numbers)), self.names[first])

    def _take(self, stays: bool, label: int, identity: str) -> None:
        self.kept.append(stays)
        self.labels.append(label)
        self.identities.append(identity)

    def _change(self, k: int, row: int, person: Person, first: Person, digest: bytes) -> Change | None:
        """What becomes of a labelled row, unless it stays as it is."""
        pack = self.packs[k]
        identity = pack.index.identities[person[1]]
        name = self.names[first]

        def told(action: str, reason: str, **facts: Any) -> Change:
            return Change(action, reason, pack.name, row, self._images[k][row], identity, **facts)

        if first[0] < k and self.shared == "drop":
            return told("removed", "same_person", **self._why(person, first))
        before = self._seen.get((first, digest))
        if before is not None and len(self.groups.members(first)) > 1:
            other, place = before
            facts = {
                "compared_pack": self.packs[other].name,
                "compared_row": place,
                "compared_name": self._images[other][place],
            }
            return told("removed", "same_bytes", compared_score=1.0, **facts)
        if first != person:
            return told("relabeled", "same_person", new_identity=name, **self._why(person, first))
        return told("relabeled", "name_taken", new_identity=name) if name != identity else None

    def _why(self, person: Person, first: Person) -> dict[str, Any]:
        """The numbers that made a person one with another."""
        pack = self.packs[person[0]]
        facts: dict[str, Any] = {"other_identity": self.packs[first[0]].index.identities[first[1]]}
        pair = self.evidence.get((pack.name, pack.index.identities[person[1]]))
        if pair is not None:
            facts |= {
                "other_score": pair.score,
                "compared_pack": pair.pack_a,
                "compared_row": pair.row_a,
                "compared_name": pair.image_a,
                "compared_score": pair.image_score,
            }
        return facts


def _names(packs: Sequence[Pack], groups: Groups) -> dict[Person, str]:
    """A name for each group, no name twice: that of its first person, with the pack's before it where it is taken."""
    firsts = [
        (k, label)
        for k, pack in enumerate(packs)
        for label in range(pack.index.classes)
        if groups.first((k, label)) == (k, label)
    ]
    taken = {packs[k].index.identities[label] for k, label in firsts}
    given: dict[Person, str] = {}
    used: set[str] = set()
    for k, label in firsts:
        name = packs[k].index.identities[label]
        if name in used:
            plain = name = f"{Path(packs[k].name).name}/{name}"
            count = 1
            while name in used or name in taken:
                count += 1
                name = f"{plain}-{count}"
        used.add(name)
        given[k, label] = name
    return given
