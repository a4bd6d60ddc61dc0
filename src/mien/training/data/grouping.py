"""Who is one person: people of several packs, joined pair by pair, without contradictions."""

from __future__ import annotations

from collections.abc import Sequence

from mien.errors import BadInput
from mien.training.data.people import PackPeople, Person
from mien.training.data.reviewing import Decision

__all__ = ["Groups"]


class Groups:
    """Who is one person, to begin with by decisions.

    Args:
        sides: the packs' people.
        decisions: what a person decided.

    Attributes:
        said: what was decided, by pair.

    Raises:
        BadInput: decisions contradict each other.
    """

    def __init__(self, sides: Sequence[PackPeople], decisions: Sequence[Decision]) -> None:
        numbers = {
            (s.name, name): (k, label) for k, s in enumerate(sides) for label, name in enumerate(s.index.identities)
        }
        self._first: dict[Person, Person] = {}
        self._members: dict[Person, list[Person]] = {}
        self._apart: set[frozenset[Person]] = set()
        self.said: dict[frozenset[Person], bool] = {}
        for decision in decisions:
            a, b = numbers[decision.a], numbers[decision.b]
            self.said[frozenset((a, b))] = decision.same
            if decision.same:
                self.join(a, b)
        for decision in decisions:
            a, b = numbers[decision.a], numbers[decision.b]
            if decision.same:
                continue
            if self.first(a) == self.first(b):
                raise BadInput(
                    f"{decision.where}: {decision.a[1]!r} of {decision.a[0]} and {decision.b[1]!r} of {decision.b[0]} "
                    "are decided to be different, but other decisions together make them the same"
                )
            self._apart.add(frozenset((a, b)))

    def first(self, person: Person) -> Person:
        """The one that stands for a person's group."""
        return self._first.get(person, person)

    def members(self, person: Person) -> list[Person]:
        """All of a person's group."""
        return self._members.get(self.first(person), [self.first(person)])

    def may_join(self, a: Person, b: Person) -> bool:
        """Whether two groups have no two people of one pack, and none that are decided to be different."""
        left, right = self.members(a), self.members(b)
        if {pack for pack, _ in left} & {pack for pack, _ in right}:
            return False
        return not any(frozenset((one, other)) in self._apart for one in left for other in right)

    def join(self, a: Person, b: Person) -> None:
        """Make two groups one; its first is the one of the first pack."""
        if self.first(a) == self.first(b):
            return
        members = sorted([*self.members(a), *self.members(b)])
        for old in (self.first(a), self.first(b)):
            self._members.pop(old, None)
        self._members[members[0]] = members
        self._first.update(dict.fromkeys(members, members[0]))
