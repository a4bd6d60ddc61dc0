from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from mien.errors import BadInput
from mien.training.heads import ShardedHead, whole_centers
from mien.training.heads.cross_entropy import cross_entropy
from mien.training.heads.sampling import chosen_classes, first_centers, shard_bounds
from mien.training.losses import ArcFaceSettings, TripletSettings, make_objective
from mien.training.losses.arcface import ArcFace
from mien.training.ranks import Ranks

CPU = torch.device("cpu")


def head_of(classes: int = 60, *, rate: float = 1.0, seed: int = 0) -> ShardedHead:
    return ShardedHead(classes, 8, ArcFace(ArcFaceSettings(scale=8)), Ranks(), rate, seed)


def some_batches(count: int, classes: int) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(2)
    return [
        (torch.randn(10, 8, generator=random), torch.randint(classes, (10,), generator=random)) for _ in range(count)
    ]


def test_classes_are_divided_evenly() -> None:
    for classes in (1, 7, 8, 100):
        for world in (1, 2, 3, 8):
            bounds = [shard_bounds(classes, rank, world) for rank in range(world)]
            assert bounds[0][0] == 0
            assert bounds[-1][1] == classes
            assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))
            sizes = [last - first for first, last in bounds]
            assert max(sizes) - min(sizes) <= 1
    with pytest.raises(BadInput, match="expected classes >= 1 and 0 <= rank < world, got 0 classes, rank 0 of 1"):
        shard_bounds(0, 0, 1)


def test_first_centers_belong_to_the_class() -> None:
    whole = first_centers(0, 10000, 4, 3)
    assert torch.equal(first_centers(4090, 8200, 4, 3), whole[4090:8200])
    assert torch.equal(first_centers(5, 5, 4, 3), whole[:0])
    assert 0.0098 < float(whole.std()) < 0.0102
    assert not torch.equal(first_centers(0, 10, 4, 4), whole[:10])


def test_lots_belong_to_class_and_draw() -> None:
    whole = chosen_classes(0, 100_000, 0.3, 5, 7, CPU)
    assert torch.equal(chosen_classes(40_000, 60_000, 0.3, 5, 7, CPU), whole[40_000:60_000])
    assert 0.294 < float(whole.float().mean()) < 0.306
    for seed, draw in ((5, 8), (6, 7)):
        other = chosen_classes(0, 100_000, 0.3, seed, draw, CPU)
        # Independent draws agree on 0.3² of the classes.
        assert 0.085 < float((whole & other).float().mean()) < 0.095
    drawn = torch.stack([chosen_classes(0, 50, 0.3, 0, draw, CPU) for draw in range(2000)]).float().mean(dim=0)
    assert 0.25 < float(drawn.min()) < float(drawn.max()) < 0.35


def test_cross_entropy_is_pytorch_s() -> None:
    logits = (torch.randn(6, 9) * 50).requires_grad_()
    columns = torch.tensor([0, 3, 8, 8, 1, 2])
    other = logits.detach().clone().requires_grad_()
    weights = torch.arange(6.0)
    found = cross_entropy(logits * 1, columns, Ranks())
    wanted = torch.nn.functional.cross_entropy(other, columns, reduction="none")
    (found * weights).sum().backward()  # type: ignore[no-untyped-call]
    (wanted * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert torch.allclose(logits.grad, other.grad, atol=1e-6)  # type: ignore[arg-type]


def test_using_up_logits_that_are_needed_is_noticed() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    needed = logits.exp()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        cross_entropy(needed, torch.tensor([0, 1, 2]), Ranks()).sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("make", ["sgd", "adamw"])
def test_sampled_rows_move_as_if_each_had_its_own_optimizer(make: str) -> None:
    """The oracle: a parameter and an optimizer for each class, which steps only when the class is in the sample."""

    def optimizer_of(weights: Any) -> torch.optim.Optimizer:
        if make == "sgd":
            return torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
        return torch.optim.AdamW(weights, lr=0.01)

    classes = 60
    head = head_of(classes, rate=0.2)
    optimizer = optimizer_of([{"params": list(head.parameters())}, {"params": [torch.nn.Parameter(torch.zeros(1))]}])
    head.attach(optimizer)
    rows = [torch.nn.Parameter(row.clone()) for row in head.centers]
    own = [optimizer_of([row]) for row in rows]
    taken = [0] * classes
    for step, (features, labels) in enumerate(some_batches(12, classes)):
        chosen = chosen_classes(0, classes, 0.2, 0, step, CPU)
        chosen[labels] = True
        places = chosen.nonzero().squeeze(1).tolist()
        optimizer.zero_grad()
        loss = head(features, labels).loss
        loss.backward()
        full = ShardedHead(len(places), 8, ArcFace(ArcFaceSettings(scale=8)), Ranks())
        full.set_centers(torch.stack([rows[place].detach() for place in places]), frozen=False)
        wanted = full(features, torch.tensor([places.index(int(label)) for label in labels])).loss
        wanted.backward()
        assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
        optimizer.step()
        assert full.centers.grad is not None
        for place, gradient in zip(places, full.centers.grad, strict=True):
            taken[place] += 1
            rows[place].grad = gradient.clone()
            if make == "adamw":
                # One count of steps for all classes, so that of a class alone is set to it.
                state = own[place].state[rows[place]]
                if state:
                    state["step"].fill_(step)
                else:
                    zero = torch.zeros_like(rows[place])
                    state.update({"step": torch.tensor(float(step)), "exp_avg": zero, "exp_avg_sq": zero.clone()})
            own[place].step()
    assert min(taken) < max(taken) - 3
    centers = torch.stack([row.detach() for row in rows])
    assert torch.allclose(head.centers, centers, atol=2e-5, rtol=1e-4)
    never = [place for place, count in enumerate(taken) if not count]
    assert torch.equal(head.centers[never], first_centers(0, classes, 8, 0)[never])


def test_without_sampling_nothing_is_in_the_way() -> None:
    head = head_of()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    head.attach(optimizer)
    assert not optimizer._optimizer_step_post_hooks
    assert [name for name, _ in head.named_parameters()] == ["centers"]
    assert list(head.buffers()) == []


def test_parts_of_a_batch_share_a_sample() -> None:
    """Gradients of two parts are those of both together, as the mean of two losses over the same classes."""
    (one, first), (two, second) = some_batches(2, 60)
    head = head_of(rate=0.2)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    head.attach(optimizer)
    optimizer.zero_grad()
    head(one, first).loss.backward()
    before = head.sampled
    gradient, kept = before.grad, head._rows
    head(two, second).loss.backward()
    assert gradient is not None
    assert set(kept.tolist()) < set(head._rows.tolist())
    assert set(second.tolist()) <= set(head._rows.tolist())
    assert head.draws == 1
    wanted = ShardedHead(len(head._rows), 8, ArcFace(ArcFaceSettings(scale=8)), Ranks())
    wanted.set_centers(head.centers[head._rows], frozen=False)
    wanted(two, torch.searchsorted(head._rows, second)).loss.backward()
    assert wanted.centers.grad is not None
    total = wanted.centers.grad.clone()
    total[torch.searchsorted(head._rows, kept)] += gradient
    assert head.sampled.grad is not None
    assert torch.allclose(head.sampled.grad, total, atol=1e-5)
    optimizer.step()
    assert len(head.sampled) == 0
    head(one, first)
    assert head.draws == 2


def test_a_step_that_is_left_out_changes_nothing() -> None:
    """As a gradient scaler does where gradients overflow."""
    (one, first), (two, second) = some_batches(2, 60)
    head = head_of(rate=0.2)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    head.attach(optimizer)
    optimizer.zero_grad()
    head(one, first).loss.backward()
    optimizer.zero_grad()
    head(two, second).loss.backward()
    assert head.draws == 2
    optimizer.step()
    moved = (head.centers != first_centers(0, 60, 8, 0)).any(dim=1)
    chosen = chosen_classes(0, 60, 0.2, 0, 1, CPU)
    chosen[second] = True
    assert torch.equal(moved, chosen)


def test_evaluation_sees_all_classes() -> None:
    features, labels = some_batches(1, 60)[0]
    head = head_of(rate=0.2).eval()
    one, other = head(features, labels).loss, head_of().eval()(features, labels).loss
    assert torch.equal(one, other)
    assert head.draws == 0


def test_a_sampled_head_must_know_its_optimizer() -> None:
    features, labels = some_batches(1, 60)[0]
    head = head_of(rate=0.2)
    with pytest.raises(
        BadInput, match=r"sample_rate 0\.2: expected attach\(optimizer\) before the first training step"
    ):
        head(features, labels)
    with pytest.raises(BadInput, match="attach: expected the optimizer to have the head's parameter, it has not"):
        head.attach(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))


@pytest.mark.parametrize("rate", [1.0, 0.2])
def test_frozen_centers_stay(rate: float) -> None:
    features, labels = some_batches(1, 60)[0]
    features.requires_grad_()
    centers = torch.randn(60, 8)
    head = head_of(rate=rate)
    head.set_centers(centers, frozen=True)
    assert not [weight for weight in head.parameters() if weight.requires_grad]
    head.attach(torch.optim.SGD([features], lr=0.1))
    head(features, labels).loss.backward()
    assert torch.equal(head.centers, centers)
    assert features.grad is not None
    assert bool(features.grad.any())
    with pytest.raises(BadInput, match=r"expected \(60, 8\) centers, got \(59, 8\)"):
        head.set_centers(centers[:59], frozen=True)


def test_a_state_goes_on_in_the_same_way() -> None:
    batches = some_batches(6, 60)
    centers = []
    for resumed in (False, True):
        head = head_of(rate=0.2)
        optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        head.attach(optimizer)
        for step, (features, labels) in enumerate(batches):
            if resumed and step == 3:
                state = head.shard_state()
                head = head_of(rate=0.2)
                optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, nesterov=True)
                head.attach(optimizer)
                head.load_shards([state])
            optimizer.zero_grad()
            head(features, labels).loss.backward()
            optimizer.step()
        centers.append(head.centers.clone())
    assert torch.equal(*centers)


@pytest.mark.parametrize("label", [-1, 60])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    with pytest.raises(BadInput, match=rf"expected labels of 0\.\.59, got {label}"):
        head_of()(torch.randn(2, 8), torch.tensor([3, label]))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(BadInput, match=r"expected \(n, 8\) features and \(n,\) labels, got \(2, 7\) and \(2,\)"):
        head_of()(torch.randn(2, 7), torch.tensor([3, 4]))
    with pytest.raises(BadInput, match=r"expected \(n, 8\) features and \(n,\) labels, got \(2, 8\) and \(3,\)"):
        head_of()(torch.randn(2, 8), torch.tensor([3, 4, 5]))


@pytest.mark.parametrize("name", ["arcface"])
def test_an_empty_batch_has_no_loss(name: str) -> None:
    features = torch.zeros(0, 8, requires_grad=True)
    output = make_objective(ArcFaceSettings(), classes=5, dimension=8, ranks=Ranks())(
        features, torch.zeros(0, dtype=torch.int64)
    )
    output.loss.backward()
    assert float(output.loss.detach()) == 0
    assert output.parts.keys() == {"accuracy", "target_cosine", "norm"}
    assert features.grad is not None


def test_accuracy_counts_the_nearest_center() -> None:
    head = ShardedHead(3, 3, ArcFace(ArcFaceSettings()), Ranks())
    head.set_centers(torch.eye(3), frozen=False)
    features = torch.tensor([[1.0, 0, 0], [1, 0.9, 0], [0, 0, 2]])
    parts = head(features, torch.tensor([0, 1, 2])).parts
    assert float(parts["accuracy"]) == pytest.approx(2 / 3)
    assert float(parts["norm"]) == pytest.approx((1 + 1.81**0.5 + 2) / 3)


def test_shards_are_put_together() -> None:
    shards = [ShardedHead(7, 4, ArcFace(ArcFaceSettings()), Ranks(rank, 3)).shard_state() for rank in range(3)]
    assert torch.equal(whole_centers(shards), first_centers(0, 7, 4, 0))
    triplet = make_objective(TripletSettings(), classes=7, dimension=4, ranks=Ranks())
    assert whole_centers([triplet.shard_state()]).shape == (0, 0)
