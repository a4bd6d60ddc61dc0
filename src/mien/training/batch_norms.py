"""Batch normalization over the batch of all processes, also on CPUs, where PyTorch has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.errors import BadInput

if TYPE_CHECKING:
    from mien.training.ranks import Ranks

__all__ = ["SyncBatchNorm", "convert_batch_norms"]


def convert_batch_norms(module: nn.Module, ranks: Ranks) -> None:
    """Replace each batch normalization below a module by one over all processes, in place; weights and names stay.

    Args:
        module: no batch normalization itself.
        ranks: the processes; on GPUs PyTorch's own layer is taken.
    """
    if ranks.world == 1:
        return
    if ranks.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm):
            setattr(module, name, SyncBatchNorm.like(child, ranks))
        else:
            convert_batch_norms(child, ranks)


class SyncBatchNorm(_BatchNorm):
    """Batch normalization of ``(n, channels, ...)`` with the mean and the variance of all processes' rows.

    ``n`` may differ from process to process and be 0. The mean is summed first and the squares about it after that, so
    the result is as accurate as with one process (Ioffe and Szegedy 2015, "Batch normalization", algorithm 1).
    Statistics are computed in float32, of float64 in float64.
    """

    ranks: Ranks

    @classmethod
    def like(cls, other: _BatchNorm, ranks: Ranks) -> SyncBatchNorm:
        """The same layer over all processes; parameters and buffers are taken over, not copied."""
        made = cls(
            other.num_features,
            other.eps,
            other.momentum,
            other.affine,
            other.track_running_stats,
            device=None if other.weight is None else other.weight.device,
        )
        made.ranks = ranks
        made.weight, made.bias = other.weight, other.bias
        made.running_mean, made.running_var = other.running_mean, other.running_var
        made.num_batches_tracked = other.num_batches_tracked
        made.training = other.training
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Normalize; ``(n, channels, ...)`` in and out."""
        if not self.training and self.running_mean is not None:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        weight = torch.ones(self.num_features, device=input.device) if self.weight is None else self.weight
        bias = torch.zeros_like(weight) if self.bias is None else self.bias
        out, mean, variance, count = _Normalized.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, self.eps, self.ranks
        )
        if self.training and self.running_mean is not None and self.running_var is not None:
            self._follow(mean, variance * (count / (count - 1)))
        result: Tensor = out
        return result

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics."""
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            # Without a momentum, the mean of all batches so far.
            share = 1 / float(self.num_batches_tracked) if share is None else share
        if share is not None and self.running_mean is not None and self.running_var is not None:
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_(variance.to(self.running_var.dtype), share)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise BadInput(f"expected (n, channels, ...), got {tuple(input.shape)}")


def _widened(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims = (0, *range(2, values.ndim))
        channels = values.shape[1]
        shape = (1, channels, *[1] * (values.ndim - 2))
        rows = values.numel() // max(1, channels)
        local = torch.cat([_widened(values).sum(dims), _widened(values).new_tensor([float(rows)])])
        sums = ranks.all_reduce_sum(local)
        count = sums[-1]
        if float(count) < 2:
            raise BadInput(f"expected two or more values per channel over all processes, got {int(count)}")
        mean = sums[:-1] / count
        variance = ranks.all_reduce_sum((_widened(values) - mean.view(shape)).square_().sum(dims)) / count
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(values, weight, mean, scale, count)
        ctx.ranks, ctx.dims, ctx.shape = ranks, dims, shape
        ctx.mark_non_differentiable(mean, variance, count)
        factor = _widened(weight) * scale
        out = torch.addcmul((_widened(bias) - mean * factor).view(shape), _widened(values), factor.view(shape))
        return out.to(values.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_others: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        values, weight, mean, scale, count = ctx.saved_tensors
        shape, dims = ctx.shape, ctx.dims
        slope = _widened(gradient)
        unit = (_widened(values) - mean.view(shape)).mul_(scale.view(shape))
        grad_bias = slope.sum(dims)
        grad_weight = (slope * unit).sum(dims)
        both = ctx.ranks.all_reduce_sum(torch.cat([grad_bias, grad_weight])) / count
        mean_slope, mean_turn = both.chunk(2)
        grad = slope - mean_slope.view(shape) - unit.mul_(mean_turn.view(shape))
        grad.mul_((_widened(weight) * scale).view(shape))
        return grad.to(values.dtype), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype), None, None
