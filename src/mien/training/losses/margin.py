"""What a margin loss is given and what it must give: cosines in, logits out, whatever the number of processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mien.training.ranks import Ranks

__all__ = ["Cosines", "Margin", "angle_added", "logits_of", "unit_rows", "widened"]

# Two steps of float32 at 1: below it, a cosine does not tell the angle.
_LEAST_SQUARED_SINE = 2.0**-22
# Shorter features count as this long, so that their slopes, which grow as lengths shrink, fit float16.
_LEAST_LENGTH = 1e-3


@dataclass(frozen=True, slots=True)
class Cosines:
    """The batch of all processes against this process's class centers.

    Attributes:
        values: ``(n, c) float32``: cosines of each feature to this process's (sampled) centers, within -1..1; plain
            inner products for a margin with ``normalized = False``.
        columns: ``(n,) int64``: the column of the feature's own class, -1 where another process has it.
        target: ``(n,)``: the value of the own class, known to all processes; differentiable, as ``values`` is.
        norms: ``(n,)``: lengths of the features; differentiable.
        features: ``(n, d) float32`` as they came; differentiable.
        centers: ``(c, d)``: the centers of the columns as they are, without gradient.
        classes: how many columns all processes have together.
        ranks: the processes.
    """

    values: Tensor
    columns: Tensor
    target: Tensor
    norms: Tensor
    features: Tensor
    centers: Tensor
    classes: int
    ranks: Ranks


class Margin(nn.Module):
    """A loss on cosines: ``forward(cosines) -> (logits, extra)``.

    ``logits`` are ``(n, c) float32``, scaled, of which the softmax's cross entropy to the own class is taken; nothing
    may depend on their storage afterwards. ``extra`` is a loss added to the mean cross entropy, of the whole batch and
    the same in all processes, or 0. Parameters and running statistics must be the same in all processes too, so they
    may only be computed from what all processes know.

    Attributes:
        normalized: whether ``values`` are to be cosines.
    """

    normalized = True

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits and extra loss."""
        raise NotImplementedError

    def parts(self) -> dict[str, Tensor]:
        """Scalars to be logged, of the last call, the same in all processes."""
        return {}


def widened(features: Tensor) -> Tensor:
    """In float32; float64 stays, for whoever has given the loss's own weights that type too."""
    return features if features.dtype == torch.float64 else features.float()


def unit_rows(features: Tensor) -> Tensor:
    """``(n, d)`` scaled to unit norm; rows shorter than 0.001, which hardly have a direction, are divided by that."""
    lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit: Tensor = features / lengths.clamp_min(_LEAST_LENGTH)
    return unit


def angle_added(cosine: Tensor, angle: Tensor | float) -> Tensor:
    """``cos(theta + angle)`` of ``cos(theta)``, with no arc cosine.

    ``cos(theta) cos(angle) - sin(theta) sin(angle)``, where the squared sine is no less than 2^-22, so that its slope
    stays below 2100 (without that it is infinite at -1 and 1); there, what remains is the slope ``cos(angle)``.
    """
    turn = torch.as_tensor(angle, dtype=cosine.dtype, device=cosine.device)
    sine = (1 - cosine.square()).clamp_min(_LEAST_SQUARED_SINE).sqrt()
    return cosine * turn.cos() - sine * turn.sin()


def logits_of(cosines: Cosines, target: Tensor, scale: float, values: Tensor | None = None) -> Tensor:
    """Logits: ``scale`` times the values, with another target.

    Args:
        cosines: the batch.
        target: ``(n,)``: what the own class has instead of its value; the own class's cell of ``values`` gets no
            gradient, ``target`` gets it all.
        scale: of all.
        values: instead of ``cosines.values``.
    """
    logits: Tensor = _Logits.apply(  # type: ignore[no-untyped-call]
        cosines.values if values is None else values, target, cosines.columns, scale
    )
    return logits


class _Logits(torch.autograd.Function):
    """One copy of the values forward and one backward, where PyTorch's own indexing makes three."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, target: Tensor, columns: Tensor, scale: float) -> Tensor:
        rows = (columns >= 0).nonzero().squeeze(1)
        ctx.save_for_backward(rows, columns[rows])
        ctx.scale = scale
        logits = values * scale
        logits[rows, columns[rows]] = target[rows] * scale
        return logits

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        rows, columns = ctx.saved_tensors
        grad = gradient * ctx.scale
        target = grad.new_zeros(len(grad))
        target[rows] = grad[rows, columns]
        grad[rows, columns] = 0
        return grad, target, None, None
