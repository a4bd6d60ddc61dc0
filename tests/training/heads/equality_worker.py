"""The same training by any number of processes: ``equality_worker.py FOLDER`` in each; ``train_all`` for one alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mien.training.losses import (
    AdaFaceSettings,
    ArcFaceSettings,
    CifpSettings,
    CosFaceSettings,
    CurricularFaceSettings,
    DdlSettings,
    LossSettings,
    MagFaceSettings,
    Objective,
    ScfSettings,
    SoftmaxSettings,
    TripletSettings,
    make_objective,
)
from mien.training.ranks import Ranks, convert_batch_norms, join

CLASSES, DIMENSION, BATCH, STEPS = 41, 16, 24, 3
MARGINS: dict[str, LossSettings] = {
    "softmax": SoftmaxSettings(),
    "normalized": SoftmaxSettings(normalized=True),
    "arcface": ArcFaceSettings(),
    "straight": ArcFaceSettings(gradient="straight_through"),
    "cosface": CosFaceSettings(),
    "curricularface": CurricularFaceSettings(),
    "adaface": AdaFaceSettings(),
    "magface": MagFaceSettings(shortest=1.0, longest=6.0),
    "cifp": CifpSettings(),
    "scf": ScfSettings(),
}
OTHERS: dict[str, LossSettings] = {
    "triplet": TripletSettings(margin=0.5),
    "triplet-hardest": TripletSettings(margin=0.5, negative="hardest"),
    "ddl": DdlSettings(),
}
CASES: list[tuple[str, LossSettings, float, bool, int]] = [
    *((name, settings, 1.0, False, 1) for name, settings in (MARGINS | OTHERS).items()),
    *((f"{name} sampled", settings, 0.3, False, 1) for name, settings in MARGINS.items()),
    ("arcface uneven", ArcFaceSettings(), 1.0, True, 1),
    ("adaface uneven sampled", AdaFaceSettings(), 0.3, True, 1),
    ("ddl uneven", DdlSettings(), 1.0, True, 1),
    ("arcface in parts", ArcFaceSettings(), 1.0, False, 2),
    ("arcface in parts sampled", ArcFaceSettings(), 0.3, False, 2),
]


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    random = torch.Generator().manual_seed(5)
    people = torch.randn(CLASSES, 12, generator=random)
    found = []
    for _ in range(STEPS):
        labels = torch.randperm(CLASSES, generator=random)[: BATCH // 4].repeat_interleave(4)
        inputs = people[labels] + torch.randn(BATCH, 12, generator=random)
        found.append((inputs, labels, torch.arange(BATCH) // 2 % 2))
    return found


def mine(count: int, ranks: Ranks, uneven: bool) -> slice:
    """This process's rows: as the loader gives them, or none for the first process and the others' for the last."""
    if not uneven or ranks.world == 1:
        return slice(ranks.rank, None, ranks.world)
    return slice(max(0, ranks.rank - 1) * 5, count if ranks.rank == ranks.world - 1 else ranks.rank * 5)


def train(
    settings: LossSettings, rate: float, ranks: Ranks, uneven: bool, parts: int, kind: torch.dtype
) -> dict[str, Any]:
    """Some steps; losses, gradients and weights, those of all processes together."""
    torch.manual_seed(3)
    trunk = nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.PReLU(20), nn.Linear(20, DIMENSION))
    objective = make_objective(settings, classes=CLASSES, dimension=DIMENSION, ranks=ranks, sample_rate=rate, seed=7)
    if not isinstance(settings, TripletSettings):
        # Of about the lengths that they have in 512 dimensions; shorter ones multiply each rounding by a hundred.
        centers = torch.randn(CLASSES, DIMENSION, generator=torch.Generator().manual_seed(9)) / 8
        objective.set_centers(centers, frozen=False)
    convert_batch_norms(trunk, ranks)
    trunk.to(kind)
    objective.to(kind)
    optimizer = torch.optim.SGD(
        [*trunk.parameters(), *objective.parameters()], lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    objective.attach(optimizer)
    whole = DistributedDataParallel(trunk, broadcast_buffers=False) if ranks.world > 1 else trunk
    found: dict[str, Any] = {}
    for step, (inputs, labels, sets) in enumerate(batches()):
        optimizer.zero_grad(set_to_none=True)
        chunk = BATCH // parts
        for part in range(parts):
            rows = range(part * chunk, (part + 1) * chunk)[mine(chunk, ranks, uneven)]
            given = inputs[list(rows)].to(kind).requires_grad_()
            output = objective(whole(given), labels[list(rows)], sets[list(rows)])
            (output.loss / parts).backward()
            counts = ranks.row_counts(len(given))
            assert given.grad is not None
            order = ranks.batch_order(counts) if not uneven else torch.arange(sum(counts))
            found[f"input gradient {step} {part}"] = ranks.gather_features(given.grad, counts)[order] / ranks.world
            found[f"loss {step} {part}"] = output.loss.detach()
            found.update({f"{name} {step} {part}": value for name, value in output.parts.items()})
        found.update({f"gradient {step} {k}": weight.grad for k, weight in enumerate(trunk.parameters())})
        found.update(gradients_of(objective, ranks, f" {step}"))
        optimizer.step()
    found.update({f"trunk {name}": value for name, value in trunk.state_dict().items()})
    state = objective.shard_state()
    if "centers" in state:
        shards = ranks.gather_objects(state)
        found["centers"] = torch.cat([shard["centers"] for shard in shards])
        found["draws"] = torch.tensor(state["draws"])
        found.update({f"margin {name}": value for name, value in state["margin"].items()})
        for name in state["momenta"]:
            found[f"momenta {name}"] = torch.cat([shard["momenta"][name] for shard in shards])
        found["shards"] = shards
    return found


def gradients_of(objective: Objective, ranks: Ranks, suffix: str) -> dict[str, Tensor]:
    """Those of the centers, one below the other."""
    grads = {name.split(".")[-1]: weight.grad for name, weight in objective.named_parameters()}
    named = {name: grad for name, grad in grads.items() if grad is not None}
    return {
        f"gradient of {name}{suffix}": torch.cat(ranks.gather_objects(named[name]))
        for name in ("centers", "sampled")
        if name in named
    }


def train_all(ranks: Ranks) -> dict[str, dict[str, Any]]:
    return {
        f"{name}{kind}".replace("torch.float32", "").replace("torch.", " "): train(
            settings, rate, ranks, uneven, parts, kind
        )
        for kind in (torch.float32, torch.float64)
        for name, settings, rate, uneven, parts in CASES
    }


def main() -> None:
    torch.set_num_threads(1)
    ranks = join("cpu", timeout_s=120)
    found = train_all(ranks)
    torch.save(found, Path(sys.argv[1]) / f"rank-{ranks.rank}.pt")
    ranks.barrier()
    ranks.leave()


if __name__ == "__main__":
    main()
