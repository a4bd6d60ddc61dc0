"""What a run is made of at one moment, and how it is taken up again from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mien.errors import BadCheckpoint
from mien.training.averaging import WeightAverage
from mien.training.checkpoints import Checkpoint, write_checkpoint
from mien.training.data.loader import Position
from mien.training.learner import Learner
from mien.training.settings import OptimizerSettings, TrainingSettings

__all__ = ["RunState", "make_optimizer"]


@dataclass(slots=True)
class RunState:
    """A run at one moment.

    Attributes:
        learner: all weights.
        optimizer: with its momenta.
        average: the moving average of the backbone's weights, or None.
        scaler: of the gradients in fp16.
        position: where the loader goes on.
        step: steps done.
        images: images seen, over all processes.
        seconds: time spent training, over all calls.
        best: the best accuracy so far, its step and how many evaluations ago it was.
    """

    learner: Learner
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    scaler: torch.amp.GradScaler
    position: Position = field(default_factory=Position)
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)

    def weights(self) -> dict[str, torch.Tensor]:
        """The backbone's weights that are evaluated and exported: the average where there is one."""
        return self.learner.backbone.state_dict() if self.average is None else self.average.weights()

    def save(self, folder: Path, *, keep: int) -> Path:
        """Write a checkpoint; all processes call this.

        Raises:
            OutputError: it cannot be written.
        """
        learner = self.learner
        shared = {
            "trunk": learner.trunk.state_dict(),
            "trunk_momenta": _momenta(self.optimizer, learner.trunk),
            "average": None if self.average is None else self.average.state(),
            "scaler": self.scaler.state_dict(),
            "position": {"epoch": self.position.epoch, "batch": self.position.batch},
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "best": self.best,
        }
        own = {
            "heads": [head.shard_state() for head in learner.heads],
            "head_momenta": [_momenta(self.optimizer, head) for head in learner.heads],
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state() if learner.ranks.device.type == "cuda" else None,
        }
        return write_checkpoint(folder, self.step, shared, own, learner.ranks, keep=keep)

    def restore(self, found: Checkpoint) -> None:
        """Go on from a checkpoint, also one of another number of processes.

        Class centers are divided anew; their momenta, and random states, are only taken over by as many processes.

        Raises:
            BadCheckpoint: it is of other weights.
        """
        learner, shared = self.learner, found.shared
        try:
            learner.trunk.load_state_dict(shared["trunk"])
            _restore_momenta(self.optimizer, learner.trunk, shared["trunk_momenta"])
            if self.average is not None:
                self.average.load_state(shared["average"])
            self.scaler.load_state_dict(shared["scaler"])
            for number, head in enumerate(learner.heads):
                head.load_shards([found.own[rank]["heads"][number] for rank in sorted(found.own)])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise BadCheckpoint(f"the checkpoint of step {found.step} is of other weights: {error}") from error
        if found.world == learner.ranks.world:
            own = found.own[learner.ranks.rank]
            for head, momenta in zip(learner.heads, own["head_momenta"], strict=True):
                _restore_momenta(self.optimizer, head, momenta)
            torch.set_rng_state(own["random"])
            if learner.ranks.device.type == "cuda" and own["random_cuda"] is not None:
                torch.cuda.set_rng_state(own["random_cuda"])
        self.position = Position(**shared["position"])
        self.step, self.images, self.seconds = shared["step"], shared["images"], shared["seconds"]
        self.best = dict(shared["best"])


def make_optimizer(settings: TrainingSettings, learner: Learner) -> torch.optim.Optimizer:
    """The optimizer, with weight decay on weights of two and more dimensions only.

    Normalizations, slopes and biases have one dimension; decay does them no good (He and others 2019, "Bag of tricks").
    """
    how: OptimizerSettings = settings.optimizer
    trunk = [weight for weight in learner.trunk.parameters() if weight.requires_grad]
    heads = [weight for weight in learner.head_parameters() if weight.requires_grad]
    head_decay = how.weight_decay if how.head_weight_decay is None else how.head_weight_decay
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in trunk if weight.ndim > 1], "weight_decay": how.weight_decay},
        {"params": [weight for weight in trunk if weight.ndim <= 1], "weight_decay": 0.0},
        {"params": heads, "weight_decay": head_decay},
    ]
    groups = [group for group in groups if group["params"]]
    if how.name == "adamw":
        return torch.optim.AdamW(groups, lr=how.rate)
    return torch.optim.SGD(groups, lr=how.rate, momentum=how.momentum, nesterov=how.momentum > 0)


def _momenta(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, dict[str, Any]]:
    """The optimizer's state of a module's parameters, by their names."""
    return {
        name: dict(optimizer.state[weight]) for name, weight in module.named_parameters() if weight in optimizer.state
    }


def _restore_momenta(optimizer: torch.optim.Optimizer, module: nn.Module, momenta: dict[str, dict[str, Any]]) -> None:
    for name, weight in module.named_parameters():
        if name in momenta:
            optimizer.state[weight] = {
                key: value.to(weight.device) if isinstance(value, torch.Tensor) and value.ndim else value
                for key, value in momenta[name].items()
            }
