"""Balanced batches: as many people, as many images each, and everyone by turns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mien.errors import BadInput
from mien.training.data.balanced import BalancedOrder, Members

LABELS = np.repeat([0, 1, 2, 3, 4, 5, -1], [6, 4, 9, 2, 1, 5, 3])


def mixed(seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(seed).permutation(LABELS)


def test_members() -> None:
    labels = mixed()
    members = Members(labels)
    assert members.people.tolist() == [0, 1, 2, 3, 4, 5]
    for place, person in enumerate(members.people):
        assert members.of(place).tolist() == np.flatnonzero(labels == person).tolist()


def test_people_and_images_of_a_batch() -> None:
    labels = mixed()
    order = BalancedOrder([labels], [3], 4, seed=7)
    for step in range(50):
        rows = order.at(step).rows
        assert len(rows) == 12
        own = labels[rows].reshape(3, 4)
        assert (own == own[:, :1]).all()
        assert len(set(own[:, 0].tolist())) == 3
        for images in rows.reshape(3, 4):
            person = int(labels[images[0]])
            assert len(set(images.tolist())) == min(4, int((labels == person).sum()))


def test_people_with_one_image_are_left_out_and_counted() -> None:
    order = BalancedOrder([mixed()], [3], 2, seed=0)
    assert order.left_out == 1
    drawn = {int(mixed()[row]) for step in range(40) for row in order.at(step).rows}
    assert drawn == {0, 1, 2, 3, 5}


def test_people_come_by_turns_and_show_all_their_images() -> None:
    labels = np.repeat(np.arange(6), 5)
    order = BalancedOrder([labels], [3], 2, seed=0)
    turns = Counter(int(labels[row]) for step in range(20) for row in order.at(step).rows[::2])
    assert set(turns.values()) == {10}
    shown = Counter(int(row) for step in range(20) for row in order.at(step).rows)
    assert set(shown) == set(range(30))
    # Two of five images a turn: two turns show four of them before any comes again.
    for step in (0, 4, 8):
        rows = np.concatenate([order.at(step + k).rows for k in range(4)])
        assert len(set(rows.tolist())) == 24


def test_few_images_are_repeated_evenly() -> None:
    labels = np.repeat([0, 1], [2, 3])
    rows = BalancedOrder([labels], [2], 6, seed=0).at(5).rows
    assert sorted(Counter(rows.tolist()).values()) == [2, 2, 2, 3, 3]


def test_a_step_does_not_depend_on_those_before() -> None:
    order = BalancedOrder([mixed(), mixed(2)], [2, 2], 3, seed=5)
    ahead = [order.at(step).rows.tolist() for step in range(20)]
    assert BalancedOrder([mixed(), mixed(2)], [2, 2], 3, seed=5).at(13).rows.tolist() == ahead[13]
    assert BalancedOrder([mixed(), mixed(2)], [2, 2], 3, seed=6).at(13).rows.tolist() != ahead[13]


def test_two_sets() -> None:
    drawn = BalancedOrder([mixed(), mixed(2)], [2, 1], 4, seed=5).at(2)
    assert drawn.sets.tolist() == [0] * 8 + [1] * 4
    assert len(set(mixed(2)[drawn.rows[8:]].tolist())) == 1


def test_too_few_people_are_refused() -> None:
    expected = "data set 0: expected 6 people or more with 2 images or more, as a balanced batch takes, got 5 of 6"
    with pytest.raises(BadInput, match=expected):
        BalancedOrder([mixed()], [6], 2, seed=0)
