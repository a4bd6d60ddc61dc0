"""The common form of all losses, as a training run calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import BadSettings

__all__ = ["Objective", "ObjectiveOutput"]


@dataclass(frozen=True, slots=True)
class ObjectiveOutput:
    """A loss.

    Attributes:
        loss: scalar: the loss of the whole batch of all processes, the same value in each. Call ``backward`` in all
            processes, and let ``DistributedDataParallel`` average the network's gradients; those of the objective's own
            parameters are right as they are.
        parts: scalars to be logged, without gradient, the same in all processes.
    """

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module):
    """A loss of features and labels: ``forward(features, labels, sets=None) -> ObjectiveOutput``.

    Attributes:
        joint: whether it must see the rows of all data sets in one call, labels of one numbering over all sets; else
            each data set has an objective of its own.
    """

    joint = False

    def forward(self, features: Tensor, labels: Tensor, sets: Tensor | None = None) -> ObjectiveOutput:
        """The loss of a batch.

        Args:
            features: ``(n, d)`` of this process, as the network gives them; ``n`` may differ between processes, and be
                0. Any floating type; all is computed in float32.
            labels: ``(n,) int64``.
            sets: ``(n,) int64``: the data set of each.
        """
        raise NotImplementedError

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Tell the optimizer, before the first step; only a sampled head needs to know it."""

    def shared_parameters(self) -> list[nn.Parameter]:
        """Of its own parameters, those of which all processes have the same; the others are a process's own."""
        return []

    def set_centers(self, centers: Tensor, *, frozen: bool) -> None:
        """Begin with given class centers.

        Raises:
            BadSettings: the loss has none.
        """
        raise BadSettings("distillation.copy_centers: expected a loss with class centers, this one has none")

    def shard_state(self) -> dict[str, Any]:
        """What this process must keep of the objective: tensors and plain values."""
        return {"state": self.state_dict()}

    def load_shards(self, shards: Sequence[dict[str, Any]]) -> None:
        """Go on from what all processes kept, by rank; they may have been more or fewer than now.

        Raises:
            BadInput: they are of another objective.
        """
        self.load_state_dict(shards[0]["state"])
