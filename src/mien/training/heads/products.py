"""Features against class centers: the one large product of a head, with few copies of its result."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["products"]

_LEAST_NORM = 1e-12


def products(
    features: Tensor, centers: Tensor, columns: Tensor, *, cosines: bool, share: float
) -> tuple[Tensor, Tensor]:
    """Inner products, or cosines, of features and centers.

    Normalizing the centers first would cost three more matrices of their size, which at a million classes is more than
    all else; here their lengths divide the result.

    Args:
        features: ``(n, d) float32``; of unit norm for cosines.
        centers: ``(c, d) float32``, of any length.
        columns: ``(n,) int64``: each feature's own center, or -1.
        cosines: divide by the centers' lengths and keep within -1..1 (that does not change gradients).
        share: what the centers' gradient is multiplied by.

    Returns:
        ``(n, c)``, and ``(n,)`` of the own centers, 0 where there is none. The second is cheap to differentiate, where
        picking it from the first would make two more ``(n, c)``.
    """
    values, own = _Products.apply(features, centers, columns, cosines, share)  # type: ignore[no-untyped-call]
    return values, own


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, centers: Tensor, columns: Tensor, cosines: bool, share: float
    ) -> tuple[Tensor, Tensor]:
        rows = (columns >= 0).nonzero().squeeze(1)
        values = features @ centers.T
        norms = None
        if cosines:
            norms = torch.linalg.vector_norm(centers, dim=1).clamp_min_(_LEAST_NORM)
            values.div_(norms).clamp_(-1, 1)
        own = values.new_zeros(len(values))
        own[rows] = values[rows, columns[rows]]
        ctx.save_for_backward(features, centers, rows, columns[rows], norms, values if cosines else None)
        ctx.share = share
        return values, own

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, own: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        features, centers, rows, columns, norms, values = ctx.saved_tensors
        slope = gradient.clone() if norms is None else gradient / norms
        slope[rows, columns] += own[rows] if norms is None else own[rows] / norms[columns]
        grad_features = slope @ centers if ctx.needs_input_grad[0] else None
        grad_centers = None
        if ctx.needs_input_grad[1]:
            grad_centers = slope.T @ features
            if norms is not None:
                # d cos / d w = x / |w| - cos w / |w|^2, summed over the features
                along = slope.mul_(values).sum(dim=0).div_(norms)
                grad_centers.addcmul_(centers, along[:, None], value=-1)
            if ctx.share != 1:
                grad_centers.mul_(ctx.share)
        return grad_features, grad_centers, None, None, None
