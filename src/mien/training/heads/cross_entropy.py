"""Softmax cross entropy of classes that are divided among processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mien.training.ranks import Ranks

__all__ = ["cross_entropy"]


def cross_entropy(logits: Tensor, columns: Tensor, ranks: Ranks) -> Tensor:
    """``-log softmax`` of each row's own class, over the columns of all processes.

    Args:
        logits: ``(n, c) float32``, this process's columns; **its storage is used up**, so nothing else may read it
            afterwards (where autograd would, it raises an error).
        columns: ``(n,) int64``: the own class's column in the one process that has it, -1 in the others.
        ranks: the processes.

    Returns:
        ``(n,)``, the same in all processes. Of each row its largest logit is subtracted first.
    """
    rows: Tensor = _CrossEntropy.apply(logits, columns, ranks)  # type: ignore[no-untyped-call]
    return rows


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, columns: Tensor, ranks: Ranks) -> Tensor:
        rows = (columns >= 0).nonzero().squeeze(1)
        own = logits.new_zeros(len(logits))
        own[rows] = logits[rows, columns[rows]]
        top = logits.amax(dim=1) if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
        top = ranks.all_reduce_max(top)
        logits.sub_(top[:, None]).exp_()
        both = ranks.all_reduce_sum(torch.stack([logits.sum(dim=1), own]))
        ctx.save_for_backward(logits, both[0], rows, columns[rows])
        ctx.ranks = ranks
        return both[0].log() + (top - both[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        powers, total, rows, columns = ctx.saved_tensors
        whole = ctx.ranks.all_reduce_sum(gradient)
        grad = powers * (whole / total)[:, None]
        grad[rows, columns] -= whole[rows]
        return grad, None, None
