from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import slow_losses as slow

from mien.errors import BadInput, BadSettings
from mien.training.losses import TripletSettings, make_objective
from mien.training.losses.objective import Objective
from mien.training.ranks import Ranks


def objective_of(settings: TripletSettings, seed: int = 0) -> Objective:
    return make_objective(settings, classes=9, dimension=6, ranks=Ranks(), seed=seed)


def some_faces(seed: int) -> tuple[slow.Array, list[int]]:
    random = np.random.default_rng(seed)
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 3]
    people = random.normal(size=(4, 6))
    return people[labels] + 0.8 * random.normal(size=(9, 6)), labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_loss_and_slopes_are_those_of_the_slow_version(seed: int, alpha: float) -> None:
    faces, labels = some_faces(seed)
    features = torch.tensor(faces, dtype=torch.float32, requires_grad=True)
    output = objective_of(TripletSettings(margin=alpha, negative="hardest"))(features, torch.tensor(labels))
    output.loss.backward()
    chosen = slow.triplets(faces, labels, alpha)
    assert int(output.parts["pairs"]) == 3 + 1 + 3
    assert int(output.parts["triplets"]) == len(chosen)
    assert float(output.loss.detach()) == pytest.approx(slow.triplet(faces, chosen, alpha), abs=1e-5)
    wanted = slow.slope(lambda moved: slow.triplet(moved, chosen, alpha), faces)
    assert features.grad is not None
    assert np.abs(features.grad.double().numpy() - wanted).max() < 1e-3


def test_random_negatives_are_semi_hard_and_differ_between_steps() -> None:
    faces, labels = some_faces(0)
    features, people = torch.tensor(faces, dtype=torch.float32), torch.tensor(labels)
    objective = objective_of(TripletSettings(margin=2.0))
    losses = [float(objective(features, people).loss.detach()) for _ in range(12)]
    assert len(set(losses)) > 1
    # A semi-hard negative is farther than the positive and within alpha, so each loss is between 0 and alpha.
    assert all(0 < loss < 2.0 for loss in losses)
    hardest = float(objective_of(TripletSettings(margin=2.0, negative="hardest"))(features, people).loss.detach())
    assert max(losses) <= hardest + 1e-6
    again = objective_of(TripletSettings(margin=2.0))
    again.load_shards([objective.shard_state()])
    assert float(again(features, people).loss.detach()) == float(objective(features, people).loss.detach())


def test_evaluating_draws_nothing() -> None:
    faces, labels = some_faces(0)
    features, people = torch.tensor(faces, dtype=torch.float32), torch.tensor(labels)
    objective = objective_of(TripletSettings(margin=2.0)).eval()
    assert float(objective(features, people).loss.detach()) == float(objective(features, people).loss.detach())


def test_without_a_semi_hard_negative_the_loss_is_zero_and_can_be_differentiated() -> None:
    features = torch.tensor([[1.0, 0, 0], [1, 0.01, 0], [0, 1, 0], [0, 0, 1]], requires_grad=True)
    output = objective_of(TripletSettings())(features, torch.tensor([0, 0, 1, 2]))
    output.loss.backward()
    assert float(output.loss.detach()) == 0
    assert int(output.parts["triplets"]) == 0
    assert features.grad is not None
    assert not features.grad.any()


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
def test_a_batch_without_pairs_or_others_is_refused(labels: list[int]) -> None:
    with pytest.raises(
        BadInput,
        match=r"triplets: expected two images of a person, and another person, in each batch, got 3 images of "
        rf"{len(set(labels))}; use the balanced sampler",
    ):
        objective_of(TripletSettings())(torch.eye(3), torch.tensor(labels))


def test_wrong_shapes_and_centers_are_refused() -> None:
    with pytest.raises(BadInput, match=r"expected \(n, d\) features and \(n,\) labels, got \(3, 3\) and \(2,\)"):
        objective_of(TripletSettings())(torch.eye(3), torch.tensor([0, 1]))
    with pytest.raises(BadSettings, match="expected a loss with class centers, this one has none"):
        objective_of(TripletSettings()).set_centers(torch.eye(3), frozen=True)


def test_half_precision_features_are_safe() -> None:
    faces, labels = some_faces(1)
    faces[0] = 0
    features = torch.tensor(faces).half().requires_grad_()
    loss = objective_of(TripletSettings(margin=1.0))(features, torch.tensor(labels)).loss
    loss.backward()
    assert loss.dtype == torch.float32
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())
