from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import BadInput
from mien.evaluation import Comparisons, link_identities

NAN = float("nan")


def trials(**changes: Any) -> Comparisons:
    """Four comparisons of the samples 0, 1 (one person), 2, 3 (another)."""
    given_: dict[str, Any] = {
        "scores": [0.9, NAN, 250.0, -3.5],
        "mated": [True, True, False, False],
        "left": [0, 2, 0, 1],
        "right": [1, 3, 2, 3],
        "left_identities": [7, 8, 7, 7],
        "right_identities": [7, 8, 8, 8],
    }
    return Comparisons(**{**given_, **changes})


def test_scores_are_kept_as_they_are() -> None:
    found = trials()
    assert found.scores.dtype == np.float64
    assert found.scores[2] == 250.0
    assert found.scores[3] == -3.5
    assert not found.scores.flags.writeable


def test_what_was_not_compared_is_left_out_and_counted() -> None:
    found = trials()
    assert len(found) == 4
    assert found.compared.left.tolist() == [0, 0, 1]
    assert found.mated_scores.tolist() == [0.9]
    assert found.non_mated_scores.tolist() == [250.0, -3.5]
    assert found.failure_shares() == (0.5, 0.0)


def test_the_whole_is_its_own_compared_part_without_failures() -> None:
    found = trials(scores=[1.0, 2, 3, 4])
    assert found.compared is found


def test_as_transactions_a_failure_is_below_every_score() -> None:
    made = trials().as_transactions()
    assert made.scores[1] < -3.5
    assert made.scores[[0, 2, 3]].tolist() == [0.9, 250.0, -3.5]
    with pytest.raises(BadInput, match="none of 4"):
        trials(scores=[NAN] * 4).as_transactions()


def test_a_subset_keeps_folds_and_groups() -> None:
    found = trials(folds=[1, 1, 2, 2], left_groups=[0, 1, 0, 0], right_groups=[0, 1, 1, -1])
    part = found.subset(np.array([False, True, False, True]))
    assert part.folds is not None
    assert part.folds.tolist() == [1, 2]
    assert part.right_groups is not None
    assert part.right_groups.tolist() == [1, -1]
    assert found.subset(np.array([], dtype=np.int64)).failure_shares() == (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [1.0, 2.0]}, "one shape"),
        ({"scores": [1.0, np.inf, 0, 0]}, "infinity"),
        ({"mated": [1, 2, 0, 0]}, "true or false"),
        ({"left": [0.5, 1, 2, 3]}, "whole numbers"),
        ({"right_identities": [9, 8, 8, 8]}, "comparison 0 is mated"),
        ({"left_groups": [0, 0, 0, 0]}, "both samples or of neither"),
        ({"folds": [[1, 1, 2, 2]]}, "one shape"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        trials(**changes)


def test_no_comparisons_are_fine() -> None:
    none = Comparisons(*(np.empty(0, t) for t in (float, bool, int, int, int, int)))
    assert len(none.compared) == 0


def test_mated_pairs_link_samples_to_people() -> None:
    left, right, mated = [0, 1, 3, 0, 5], [1, 2, 4, 3, 5], [True, True, True, False, True]
    assert link_identities(left, right, mated, 7).tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_linking_checks_sample_numbers() -> None:
    with pytest.raises(BadInput, match=r"0\.\.1, got 0\.\.2"):
        link_identities([0], [2], [True], 2)
    with pytest.raises(BadInput, match="one shape"):
        link_identities([0, 1], [1], [True], 2)
    assert link_identities([], [], [], 0).tolist() == []


def test_a_long_chain_is_one_person() -> None:
    rng = np.random.default_rng(3)
    order = rng.permutation(20_000)
    found = link_identities(order[:-1], order[1:], np.ones(len(order) - 1, bool), len(order))
    assert (found == 0).all()


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_linking_is_reachability(case: tuple[int, list[tuple[int, int]]]) -> None:
    samples, pairs = case
    reach = np.eye(samples, dtype=bool)
    for a, b in pairs:
        reach[a, b] = reach[b, a] = True
    for k in range(samples):
        reach |= reach[:, [k]] & reach[[k], :]
    found = link_identities([a for a, _ in pairs], [b for _, b in pairs], [True] * len(pairs), samples)
    assert np.array_equal(found[:, None] == found[None, :], reach)
    assert sorted(set(found.tolist())) == list(range(len(set(found.tolist()))))
