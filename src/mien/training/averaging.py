"""An exponential moving average of a network's weights (Polyak averaging)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Keeps ``average = decay * average + (1 - decay) * weights``, buffers as well.

    The decay begins smaller, ``(1 + updates) / (10 + updates)``, so that the random first weights are soon forgotten.

    Args:
        module: whose weights; they are copied.
        decay: 0..1, of the later updates.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the weights as they are now into the average."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, value in module.state_dict().items():
            kept = self._values[name]
            if kept.is_floating_point():
                kept.lerp_(value, 1 - decay)
            else:
                kept.copy_(value)

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, by the names of ``module.state_dict()``; not copies."""
        return self._values

    def state(self) -> dict[str, object]:
        """What ``load_state`` takes."""
        return {"updates": self._updates, "values": self._values}

    def load_state(self, state: dict[str, object]) -> None:
        """Go on from a state."""
        updates, values = state["updates"], state["values"]
        if not isinstance(updates, int) or not isinstance(values, dict):
            raise TypeError("expected the state of a WeightAverage")
        self._updates = updates
        for name, value in values.items():
            self._values[name].copy_(value)
