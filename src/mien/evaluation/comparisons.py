"""The trials of a 1:1 protocol and their scores: what every rate, curve and interval is computed from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput

__all__ = ["BoolArray", "Comparisons", "IntArray", "ScoreArray", "group_numbers", "link_identities"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """n ≥ 0 comparisons of two samples each, with the truth about them.

    Scores are taken as they are: never clipped, squashed or scaled, so any finite range will do. Higher is more alike.

    Attributes:
        scores: ``(n,) float64``; NaN where the two were not compared, because a sample was not acquired.
        mated: ``(n,) bool``, whether both samples are of one person.
        left: ``(n,) int64``, the number of one sample.
        right: ``(n,) int64``, the number of the other.
        left_identities: ``(n,) int64``, whom the left sample shows; any numbers, see ``link_identities``.
        right_identities: ``(n,) int64``, whom the right one shows; the same as on the left where ``mated``.
        folds: ``(n,) int64``, the fold of each comparison, or None.
        left_groups: ``(n,) int64``, the group (demographic or any other) of the left sample, -1 where it is not
            known; or None.
        right_groups: ``(n,) int64``, the group of the right one; or None.

    Raises:
        BadInput: lengths or types do not fit, a score is infinite, or a mated comparison names two identities.
    """

    scores: ScoreArray
    mated: BoolArray
    left: IntArray
    right: IntArray
    left_identities: IntArray
    right_identities: IntArray
    folds: IntArray | None = None
    left_groups: IntArray | None = None
    right_groups: IntArray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "scores", _read_only(np.array(self.scores, dtype=np.float64)))
        set_field(self, "mated", _read_only(_booleans("mated", self.mated)))
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value is not None:
                set_field(self, field.name, _read_only(_integers(field.name, value)))
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if any(array.ndim != 1 or array.shape != self.scores.shape for array in given.values()):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
            raise BadInput(f"Comparisons: expected arrays of one shape (n,), got {shapes}")
        if np.isinf(self.scores).any():
            raise BadInput("Comparisons.scores: expected finite scores, or NaN where none was made, got infinity")
        if (self.left_groups is None) != (self.right_groups is None):
            raise BadInput("Comparisons: expected groups of both samples or of neither, got those of one side")
        wrong = np.flatnonzero(self.mated & (self.left_identities != self.right_identities))
        if len(wrong):
            k = int(wrong[0])
            raise BadInput(
                f"Comparisons: comparison {k} is mated, so expected one identity, "
                f"got {self.left_identities[k]} and {self.right_identities[k]}"
            )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def compared(self) -> Comparisons:
        """Those that have a score."""
        made = ~np.isnan(self.scores)
        return self if made.all() else self.subset(made)

    @property
    def mated_scores(self) -> ScoreArray:
        """The scores of the mated comparisons that were made."""
        return self.scores[self.mated & ~np.isnan(self.scores)]

    @property
    def non_mated_scores(self) -> ScoreArray:
        """The scores of the non-mated comparisons that were made."""
        return self.scores[~self.mated & ~np.isnan(self.scores)]

    def subset(self, chosen: BoolArray | IntArray | slice) -> Comparisons:
        """The chosen comparisons: a mask ``(n,)``, row numbers or a slice."""
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen_parts: dict[str, Any] = {name: v if v is None else v[chosen] for name, v in given.items()}
        return Comparisons(**chosen_parts)

    def with_scores(self, scores: ArrayLike) -> Comparisons:
        """The same trials with other scores ``(n,)``, as of another model."""
        return replace(self, scores=np.asarray(scores, dtype=np.float64))

    def failure_shares(self) -> tuple[float, float]:
        """The shares of mated and of non-mated comparisons that were not made, each 0..1 (0 where there are none)."""
        missing = np.isnan(self.scores)
        of_mated, of_non_mated = missing[self.mated], missing[~self.mated]
        return (
            float(of_mated.mean()) if len(of_mated) else 0.0,
            float(of_non_mated.mean()) if len(of_non_mated) else 0.0,
        )

    def as_transactions(self) -> Comparisons:
        """The same with every comparison that was not made decided as a non-match, at any threshold on a score.

        Each NaN becomes the largest number below the lowest score. The FMR and FNMR of these are FAR and FRR.

        Raises:
            BadInput: no comparison was made.
        """
        missing = np.isnan(self.scores)
        if not missing.any():
            return self
        if missing.all():
            raise BadInput(f"expected at least one comparison with a score, got none of {len(self)}")
        below = np.nextafter(np.nanmin(self.scores), -np.inf)
        return self.with_scores(np.where(missing, below, self.scores))


def link_identities(left: ArrayLike, right: ArrayLike, mated: ArrayLike, samples: int) -> IntArray:
    """Who is who, where a protocol names pairs but no people: samples that mated pairs connect are one person.

    Args:
        left: ``(n,)`` sample numbers, 0..samples - 1.
        right: ``(n,)`` sample numbers.
        mated: ``(n,)`` whether the pair is of one person.
        samples: how many samples there are.

    Returns:
        ``(samples,)`` identity numbers from 0, in the order of each one's first sample.

    Raises:
        BadInput: a sample number is out of range, or lengths differ.
    """
    truth = _booleans("mated", mated)
    a, b = _integers("left", left), _integers("right", right)
    if not (a.shape == b.shape == truth.shape) or a.ndim != 1:
        raise BadInput(f"expected left, right and mated of one shape (n,), got {a.shape}, {b.shape}, {truth.shape}")
    if len(a) and (min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= samples):
        raise BadInput(
            f"expected sample numbers 0..{samples - 1}, got {min(a.min(), b.min())}..{max(a.max(), b.max())}"
        )
    a, b = a[truth], b[truth]
    # Union-find on whole arrays: roots are hooked to lower roots, then every chain is followed to its end.
    root = np.arange(samples, dtype=np.int64)
    while True:
        of_a, of_b = root[a], root[b]
        apart = of_a != of_b
        if not apart.any():
            break
        a, b, of_a, of_b = a[apart], b[apart], of_a[apart], of_b[apart]
        np.minimum.at(root, np.maximum(of_a, of_b), np.minimum(of_a, of_b))
        while not np.array_equal(above := root[root], root):
            root = above
    return group_numbers(root)


def group_numbers(values: ArrayLike) -> IntArray:
    """Equal values numbered alike, from 0 in ascending order."""
    return np.asarray(np.unique(np.asarray(values), return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _booleans(name: str, value: ArrayLike) -> BoolArray:
    array = np.asarray(value)
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise BadInput(f"{name}: expected true or false, got {array.dtype} with other values than 0 and 1")
    return np.array(array, dtype=np.bool_)


def _integers(name: str, value: ArrayLike) -> IntArray:
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        raise BadInput(f"{name}: expected whole numbers, got {array.dtype}")
    return np.array(array, dtype=np.int64)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
