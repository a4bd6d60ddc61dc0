"""What a protocol says once it has been read: which images there are, and which are compared with which."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.comparisons import link_identities

__all__ = ["PairProtocol", "PairRow", "Sample", "make_pairs", "numbered"]

IdentitySource = Literal["named", "linked"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a protocol.

    Attributes:
        name: as the protocol writes it, for reports; unique within the protocol.
        source: its path, or the bytes of the encoded image.
    """

    name: str
    source: str | bytes


@dataclass(frozen=True, slots=True)
class PairRow:
    """One line of a protocol before the images are numbered.

    Attributes:
        a: an image.
        b: the image that it is compared with.
        mated: whether both are of one person.
        fold: label of the fold, or None.
        identities: who they are, or None where the protocol does not say.
        groups: which groups they belong to, or None where the protocol does not say.
        where: the line, for messages.
    """

    a: Sample
    b: Sample
    mated: bool
    fold: str | None = None
    identities: tuple[str, str] | None = None
    groups: tuple[str, str] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PairProtocol:
    """Comparisons to be made: m images, n pairs of them.

    Attributes:
        name: of the protocol, such as ``lfw``.
        path: where it was read.
        samples: the m images, each once, in order of appearance.
        identities: ``(m,) int64``, a number for each person.
        identity_source: ``named`` by the protocol, or ``linked``: images that a chain of mated pairs connects.
        left: ``(n,) int64``, sample number of each pair's first image.
        right: ``(n,) int64``, that of the second.
        mated: ``(n,) bool``.
        folds: ``(n,) int64`` fold number, or None where the protocol has no folds.
        groups: ``(m,) int64`` group number, -1 for none; None where the protocol has no groups.
        group_names: their names, by number.
        missing: files that are not there; pairs of theirs are left out.
        left_out: how many pairs were left out for that.
        notes: what else a reader should know.
    """

    name: str
    path: str
    samples: tuple[Sample, ...]
    identities: NDArray[np.int64]
    identity_source: IdentitySource
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    mated: NDArray[np.bool_]
    folds: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.mated)

    @property
    def digest(self) -> str:
        """16 hex digits that are equal for two runs over the same trials in the same order."""
        digest = hashlib.sha256("\0".join(sample.name for sample in self.samples).encode("utf-8", "surrogateescape"))
        for sample in self.samples:
            # In files of images, names are but numbers.
            if isinstance(sample.source, bytes):
                digest.update(hashlib.sha256(sample.source).digest())
        for array in (self.left, self.right, self.mated):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def numbered(labels: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A number for each label, and the labels by number: whole numbers in their order, then others in theirs."""
    names = sorted(set(labels), key=lambda label: (not label.isdigit(), int(label) if label.isdigit() else 0, label))
    numbers = {name: number for number, name in enumerate(names)}
    return np.asarray([numbers[label] for label in labels], np.int64), tuple(names)


def make_pairs(
    name: str, path: str | os.PathLike[str], rows: Sequence[PairRow], *, notes: Sequence[str] = ()
) -> PairProtocol:
    """Number the images of a protocol's lines and check them.

    Args:
        name: of the protocol.
        path: where it was read.
        rows: its pairs, in order.
        notes: what a reader should know.

    Returns:
        The protocol, without the pairs of files that are not there; these are named in it.

    Raises:
        BadInput: there are no pairs; none or only some have a fold, identities or groups; two lines disagree about an
            image; all pairs are mated, or none is; no file is there.
    """
    where = os.fspath(path)
    if not rows:
        raise BadInput(f"{where}: expected pairs, found none")
    for what, given in (
        ("a fold", [row.fold is not None for row in rows]),
        ("identities", [row.identities is not None for row in rows]),
        ("groups", [row.groups is not None for row in rows]),
    ):
        if any(given) and not all(given):
            raise BadInput(f"{rows[given.index(False)].where}: expected {what}, as other lines have, found none")
    present: dict[Sample, bool] = {}
    for row in rows:
        for sample in (row.a, row.b):
            if sample not in present:
                present[sample] = isinstance(sample.source, bytes) or os.path.isfile(sample.source)
    missing = tuple(sample.name for sample, there in present.items() if not there)
    kept = [row for row in rows if present[row.a] and present[row.b]]
    if not kept:
        first = next(sample.source for sample, there in present.items() if not there)
        raise BadInput(
            f"{where}: none of its {len(rows)} pairs has both its files; missing {len(missing)}, as {first!r}"
        )
    mated = np.asarray([row.mated for row in kept], np.bool_)
    if mated.all() or not mated.any():
        only = "mated" if mated.all() else "non-mated"
        raise BadInput(f"{where}: expected mated and non-mated pairs, got {len(kept)} pairs, all of them {only}")
    numbers: dict[Sample, int] = {}
    for row in kept:
        for sample in (row.a, row.b):
            numbers.setdefault(sample, len(numbers))
    left = np.asarray([numbers[row.a] for row in kept], np.int64)
    right = np.asarray([numbers[row.b] for row in kept], np.int64)
    identities, source = _identities(kept, numbers, left, right, mated)
    groups = _facts(kept, numbers, [row.groups for row in kept], "group")
    labels, group_names = (None, ()) if groups is None else numbered(groups)
    folds = None if kept[0].fold is None else numbered([str(row.fold) for row in kept])[0]
    return PairProtocol(
        name=name,
        path=where,
        samples=tuple(numbers),
        identities=identities,
        identity_source=source,
        left=left,
        right=right,
        mated=mated,
        folds=folds,
        groups=labels,
        group_names=group_names,
        missing=missing,
        left_out=len(rows) - len(kept),
        notes=(*notes, *_doubts(kept, left, right, mated, identities)),
    )


def _doubts(
    rows: Sequence[PairRow],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    mated: NDArray[np.bool_],
    identities: NDArray[np.int64],
) -> list[str]:
    """What is odd about pairs that are counted all the same."""
    pairs = np.minimum(left, right) * len(identities) + np.maximum(left, right)
    again = np.ones(len(rows), np.bool_)
    again[np.unique(pairs, return_index=True)[1]] = False
    return [
        f"{what}: {int(odd.sum())}, as {Path(rows[int(odd.argmax())].where).name}; they are counted as they stand"
        for what, odd in (
            ("pairs that other lines have too", again),
            ("pairs of an image with itself", left == right),
            ("non-mated pairs of images that mated pairs connect", ~mated & (identities[left] == identities[right])),
        )
        if odd.any()
    ]


def _identities(
    rows: Sequence[PairRow],
    numbers: dict[Sample, int],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    mated: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], IdentitySource]:
    names = _facts(rows, numbers, [row.identities for row in rows], "identity")
    if names is None:
        return link_identities(left, right, mated, len(numbers)), "linked"
    for row in rows:
        if row.identities is not None and (row.identities[0] == row.identities[1]) is not row.mated:
            said = "one person" if row.mated else "two people"
            raise BadInput(
                f"{row.where}: expected identities of {said}, got {row.identities[0]!r}, {row.identities[1]!r}"
            )
    return numbered(names)[0], "named"


def _facts(
    rows: Sequence[PairRow], numbers: dict[Sample, int], pairs: Sequence[tuple[str, str] | None], what: str
) -> list[str] | None:
    """One word for each image, from the words of the pairs it is in; None where the pairs have none."""
    words: dict[int, str] = {}
    for row, pair in zip(rows, pairs, strict=True):
        if pair is None:
            return None
        for sample, word in zip((row.a, row.b), pair, strict=True):
            known = words.setdefault(numbers[sample], word)
            if known != word:
                raise BadInput(f"{row.where}: {sample.name} is of {what} {known!r} in another line, here of {word!r}")
    return [words[number] for number in range(len(numbers))]
