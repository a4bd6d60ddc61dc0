"""Merging: several packs as one, in which people who stand in more than one are one person, or are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadInput, SpaceMismatch
from mien.matching.calibration import find_calibration
from mien.training.data.changes import Change
from mien.training.data.grouping import Groups
from mien.training.data.index import Index
from mien.training.data.joining import Pack, Shared, put_together
from mien.training.data.people import PackPeople, compared, likely_pairs
from mien.training.data.reviewing import Decision, PeoplePair

__all__ = ["MergeSettings", "Merged", "Pack", "default_limits", "merge", "require_mergeable"]

_SURE_FMR, _UNSURE_FMR = 1e-4, 1e-2


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """What becomes of people who stand in several packs.

    Attributes:
        threshold: people whose images score as much on average are one, if each is the other's nearest.
        uncertain: of those who score less, but as much as this, a person has to decide.
        shared: ``join`` puts their images together; ``drop`` keeps those of the first pack alone.
    """

    threshold: float
    uncertain: float
    shared: Shared = "join"

    def __post_init__(self) -> None:
        if not -1 <= self.uncertain <= self.threshold <= 1:
            raise BadInput(
                f"expected -1 <= uncertain <= threshold <= 1, got uncertain {self.uncertain} and "
                f"threshold {self.threshold}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """What merging comes to.

    Attributes:
        index: all packs' rows, with labels without gaps; not written yet.
        pairs: the people who may be one, with the decision and its reason; the most alike first.
        changes: every row that was left out, or whose person has another name now.
        counts: how many rows for each reason.
    """

    index: Index
    pairs: tuple[PeoplePair, ...]
    changes: tuple[Change, ...]
    counts: dict[str, int]

    @property
    def same(self) -> tuple[PeoplePair, ...]:
        """The pairs that are one person."""
        return tuple(pair for pair in self.pairs if pair.decision == "same")

    @property
    def open(self) -> tuple[PeoplePair, ...]:
        """The pairs that a person has to decide on."""
        return tuple(pair for pair in self.pairs if not pair.decision)


def default_limits(space: str, threshold: float) -> tuple[float, float]:
    """The scores that an embedder's calibration gives: those that one in 10,000 and one in 100 strangers reach.

    Args:
        space: the embedder's space.
        threshold: the embedder's own, which stands in for both where there is no calibration.
    """
    calibration = find_calibration(space)
    if calibration is None:
        return threshold, threshold
    return calibration.threshold_at(_SURE_FMR), calibration.threshold_at(_UNSURE_FMR)


def require_mergeable(indexes: Sequence[tuple[str, Index]]) -> None:
    """Check that packs can be merged, before their templates are made.

    Raises:
        BadInput: there are fewer than two, one is there twice, they are aligned differently, or one has no labels.
    """
    if len(indexes) < 2:
        raise BadInput(f"expected at least 2 packs to merge, got {len(indexes)}")
    first_name, first = indexes[0]
    files: dict[Path, str] = {}
    for name, index in indexes:
        if index.path is not None and files.setdefault(index.path.resolve(), name) != name:
            raise BadInput(
                f"expected different packs, got {files[index.path.resolve()]} and {name}, which are the same"
            )
        if index.aligned != first.aligned:
            raise BadInput(
                f"expected packs of one alignment, got {first_name} {_alignment(first)} and {name} {_alignment(index)}"
            )
        if not index.classes:
            raise BadInput(f"{name}: expected images with labels, found none among {len(index)}")
    names = [name for name, _ in indexes]
    if len(set(names)) < len(names):
        raise BadInput(f"expected packs of different names, got {', '.join(names)}")


def merge(
    packs: Sequence[Pack], out: Path | str, settings: MergeSettings, decisions: Sequence[Decision] = ()
) -> Merged:
    """Put packs together.

    Two people of different packs are one if each is the other's nearest by centers and their images score at least the
    threshold on average, which is what the threshold of a calibration means; or if somebody decided so. The strongest
    pairs count first; one that would make two people of a pack one is listed for review. Images of a joined person that
    are there byte for byte before are left out. People of different packs who have one name and are not one get their
    pack's name before their own.

    Args:
        packs: at least two.
        out: where the index will be written.
        settings: see there.
        decisions: what a person decided; these come before the scores.

    Raises:
        BadInput: see ``require_mergeable``; or decisions contradict each other.
        SpaceMismatch: the templates are of different spaces.
    """
    require_mergeable([(pack.name, pack.index) for pack in packs])
    spaces = {pack.described.space for pack in packs}
    if len(spaces) > 1:
        raise SpaceMismatch(f"expected templates of one space, got {' and '.join(sorted(spaces))}")
    for pack in packs:
        if len(pack.described) != len(pack.index) or not pack.described.complete:
            raise BadInput(f"{pack.name}: expected templates of its {len(pack.index)} images")
    sides = [PackPeople.of(pack.name, pack.index, pack.described, settings.uncertain) for pack in packs]
    groups = Groups(sides, decisions)
    pairs = _decided_pairs(sides, groups, settings)
    index, changes = put_together(packs, groups, pairs, out, settings.shared)
    ordered = tuple(sorted(pairs, key=lambda pair: (-pair.score, pair.identity_a, pair.identity_b)))
    return Merged(index, ordered, tuple(changes), dict(Counter(change.reason for change in changes)))


def _decided_pairs(sides: Sequence[PackPeople], groups: Groups, settings: MergeSettings) -> list[PeoplePair]:
    """The pairs that may be one person, each with a decision; joins those that are."""
    likely = likely_pairs(sides, settings.uncertain)
    there = {frozenset((pair.a, pair.b)) for pair in likely}
    for key in groups.said:
        if key not in there:
            a, b = sorted(key)
            likely.append(compared(sides, a, b, mutual=False))
    found = []
    for pair in sorted(likely, key=lambda pair: (-pair.score, pair.a, pair.b)):
        said = groups.said.get(frozenset((pair.a, pair.b)))
        if said is not None:
            decision, reason = ("same" if said else "different"), "decided"
        elif groups.first(pair.a) == groups.first(pair.b):
            decision, reason = "same", "linked"
        elif pair.mutual and pair.score >= settings.threshold:
            if groups.may_join(pair.a, pair.b):
                groups.join(pair.a, pair.b)
                decision, reason = "same", "over_threshold"
            else:
                decision, reason = "", "conflict"
        elif pair.score >= settings.uncertain and pair.mutual:
            decision, reason = "", "uncertain"
        elif pair.score >= settings.threshold:
            decision, reason = "", "not_mutual"
        elif pair.shared:
            decision, reason = "", "same_bytes"
        else:
            continue
        found.append(pair.told(sides, decision, reason))
    return found


def _alignment(index: Index) -> str:
    return "not aligned" if index.aligned is None else f"aligned to {index.aligned} pixels"
