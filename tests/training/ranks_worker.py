"""What each process of ``test_ranks`` does: ``ranks_worker.py all|hang|wait FOLDER``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from mien.errors import BadInput, MienError
from mien.training.ranks import Ranks, convert_batch_norms, join

ROWS = (5, 0, 3)


def check_calls(ranks: Ranks) -> dict[str, object]:
    rank = ranks.rank
    rows = torch.full((ROWS[rank], 2), float(rank), requires_grad=True)
    gathered = ranks.gather_features(rows)
    # All processes take gradients of the same number; the sum over processes is what comes back.
    (gathered * torch.arange(16.0).view(8, 2)).sum().backward()  # type: ignore[no-untyped-call]
    summed = torch.tensor([1.0 + rank], requires_grad=True)
    (ranks.all_reduce_sum(summed) * (rank + 1)).sum().backward()  # type: ignore[no-untyped-call]
    mine = nn.Linear(2, 2)
    nn.init.constant_(mine.weight, float(rank))
    ranks.broadcast_module(mine)
    try:
        ranks.mean_of({f"name{rank}": 1.0})
        names = "no error"
    except BadInput as error:
        names = str(error)
    weight = torch.ones(3, requires_grad=True)
    ranks.own(weight).sum().backward()  # type: ignore[no-untyped-call]
    found: dict[str, object] = {
        "gathered": gathered.detach(),
        "gathered_gradient": rows.grad,
        "nobody": ranks.gather_features(torch.zeros(0, 2)).shape,
        "sum": ranks.all_reduce_sum(torch.tensor([rank])),
        "sum_gradient": summed.grad,
        "max": ranks.all_reduce_max(torch.tensor([-rank])),
        "all": ranks.all_gather(torch.tensor([rank])),
        "own_gradient": weight.grad,
        "module": mine.weight.detach(),
        "object": ranks.broadcast_object({"rank": rank}),
        "objects": ranks.gather_objects(f"of {rank}"),
        "mean": ranks.mean_of({"loss": float(rank)}),
        "names": names,
        "any": (ranks.any_of(rank == 2), ranks.any_of(False)),
        "equal": (ranks.all_equal("same"), ranks.all_equal(rank)),
        "order": ranks.batch_order(ranks.row_counts(3 if rank == 0 else 2)),
    }
    ranks.barrier()
    return found


def check_normalization(ranks: Ranks, images: torch.Tensor) -> dict[str, object]:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(36, momentum=None))
    torch.manual_seed(0)
    for weight in module.parameters():
        nn.init.normal_(weight)
    module.double()
    convert_batch_norms(module, ranks)
    start = sum(ROWS[: ranks.rank])
    mine = images[start : start + ROWS[ranks.rank]].clone().requires_grad_()
    for _ in range(2):
        out = module(mine)
    whole = ranks.gather_features(out)
    whole.square().mul(torch.arange(36.0)).mean().backward()  # type: ignore[no-untyped-call]
    for weight in module.parameters():
        assert weight.grad is not None
        weight.grad = ranks.all_reduce_sum(weight.grad) / ranks.world
    return {
        "kinds": [type(part).__name__ for part in module],
        "out": whole.detach(),
        "input_gradient": ranks.gather_features(mine.grad if mine.grad is not None else mine) / ranks.world,
        "gradients": [weight.grad for weight in module.parameters()],
        "state": module.state_dict(),
        "evaluated": module.eval()(images).detach(),
    }


def check_one_value(ranks: Ranks) -> str:
    module = nn.Sequential(nn.BatchNorm1d(2))
    convert_batch_norms(module, ranks)
    try:
        module(torch.ones(1 if ranks.rank == 0 else 0, 2))
    except BadInput as error:
        return str(error)
    return "no error"


def wait_for_first(ranks: Ranks) -> None:
    """Rank 0 takes longer than the time-out, and then dies while it is waited for again."""
    if ranks.rank == 0:
        time.sleep(9)
    ranks.await_first()
    if ranks.rank == 0:
        os._exit(9)
    begun = time.monotonic()
    try:
        ranks.await_first()
    except MienError as error:
        sys.stdout.write(f"met, then {error.code} after {time.monotonic() - begun:.1f} s")
        sys.stdout.flush()
        os._exit(3)


def main() -> None:
    torch.set_num_threads(1)
    mode, folder = sys.argv[1], Path(sys.argv[2])
    ranks = join("cpu", timeout_s=60 if mode == "all" else 6)
    if mode == "all":
        images = torch.load(folder / "images.pt")
        found = {
            "calls": check_calls(ranks),
            "normalization": check_normalization(ranks, images),
            "one": check_one_value(ranks),
        }
        torch.save(found, folder / f"rank-{ranks.rank}.pt")
    ranks.barrier()
    begun = time.monotonic()
    if mode == "wait":
        wait_for_first(ranks)
    try:
        for step in range(1000):
            if ranks.rank == 1 and step == 3:
                if mode == "all":
                    os._exit(9)
                time.sleep(60)
            ranks.all_reduce_sum(torch.ones(2))
    except MienError as error:
        sys.stdout.write(f"{error.code} after {time.monotonic() - begun:.1f} s: {error}")
        sys.stdout.flush()
        os._exit(3)


if __name__ == "__main__":
    main()
