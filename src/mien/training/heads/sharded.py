"""The head of a margin loss: class centers divided among processes, and Partial FC's sampling of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import BadInput
from mien.training.heads.cross_entropy import cross_entropy
from mien.training.heads.products import products
from mien.training.heads.sampling import chosen_classes, first_centers, shard_bounds
from mien.training.losses.margin import Cosines, Margin, unit_rows, widened
from mien.training.losses.objective import Objective, ObjectiveOutput
from mien.training.ranks import Ranks

__all__ = ["ShardedHead", "whole_centers"]

_LEAST_NORM = 1e-6


class ShardedHead(Objective):
    """Softmax over class centers with a margin.

    Each process has the centers of ``classes / world`` classes. It gathers the features of all, computes their cosines
    to its own centers, and the softmax's maximum and sum are reduced over processes; so neither centers nor logits are
    ever in one place (Deng and others, "ArcFace", CVPR 2019; An and others, "Partial FC", ICCVW
    2021).

    With ``sample_rate < 1`` a step takes into account the classes of the batch and a random share of the others (An and
    others, "Killing two birds with one stone: efficient and robust training of face recognition CNNs by Partial FC",
    CVPR 2022). There each process fills up to a fixed number; here each other class is drawn by itself with that
    probability, which makes the sample the same for any number of processes. The optimizer must only touch sampled
    rows, or their momentum would go on moving, and weight decay shrinking, centers that got no gradient. So the
    parameter it holds, ``sampled``, has the sampled rows alone: ``attach(optimizer)`` lets the head put their momenta
    (all of the optimizer's state with a row for each class) into ``optimizer.state`` before a step and take both back
    afterwards, by a hook on ``step``. In between ``sampled`` is empty. Adam's count of steps is one for all classes.
    When a batch goes through in parts, the sample of the first part stays and the classes of the others' labels join
    it.

    With ``sample_rate=1`` there is nothing of this: ``centers`` is one parameter, and ``attach`` does nothing.

    Args:
        classes: over all processes; there may be fewer than processes.
        dimension: of the features.
        margin: the loss; if it has weights, all processes take the first one's.
        ranks: the processes, which make it together.
        sample_rate: over 0, up to 1.
        seed: of the first centers and of the samples; the same in all processes.
    """

    def __init__(
        self, classes: int, dimension: int, margin: Margin, ranks: Ranks, sample_rate: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__()
        if not 0 < sample_rate <= 1:
            raise BadInput(f"sample_rate: expected over 0, up to 1, got {sample_rate}")
        self.classes, self.dimension, self.margin = classes, dimension, margin
        self.ranks, self.sample_rate, self.seed = ranks, sample_rate, seed
        self.first, self.last = shard_bounds(classes, ranks.rank, ranks.world)
        self.draws = 0
        self._drawn = False
        self._frozen = False
        self._group: dict[str, Any] | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._rows = torch.empty(0, dtype=torch.int64)
        self._momenta: dict[str, Tensor] = {}
        self._common: dict[str, Any] = {}
        if any(True for _ in margin.parameters()):
            margin.load_state_dict(ranks.broadcast_object(margin.state_dict()))
        centers = first_centers(self.first, self.last, dimension, seed)
        self.centers: Tensor
        if sample_rate == 1:
            self.centers = nn.Parameter(centers)
        else:
            self.register_buffer("centers", centers)
            self.sampled = nn.Parameter(centers[:0].clone())

    def forward(self, features: Tensor, labels: Tensor, sets: Tensor | None = None) -> ObjectiveOutput:
        """The mean loss of the batch of all processes; see ``Objective``.

        Raises:
            BadInput: shapes do not fit, a label is no class, or a sampled head was not attached to an optimizer.
        """
        if features.ndim != 2 or features.shape[1] != self.dimension or labels.shape != features.shape[:1]:
            raise BadInput(
                f"expected (n, {self.dimension}) features and (n,) labels, "
                f"got {tuple(features.shape)} and {tuple(labels.shape)}"
            )
        with torch.autocast(features.device.type, enabled=False):
            counts = self.ranks.row_counts(len(features))
            return self.loss_of_whole(
                self.ranks.gather_features(widened(features), counts), self.ranks.gather_features(labels, counts)
            )

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Tell a sampled head its optimizer; call it once, before the first step.

        Raises:
            BadInput: the optimizer does not have the head's parameter.
        """
        if self.sample_rate == 1 or self._frozen:
            return
        groups = [group for group in optimizer.param_groups if any(p is self.sampled for p in group["params"])]
        if not groups:
            raise BadInput("attach: expected the optimizer to have the head's parameter, it has not")
        self._optimizer, self._group = optimizer, groups[0]
        optimizer.register_step_post_hook(lambda *_: self._stepped())

    def shared_parameters(self) -> list[nn.Parameter]:
        """The margin's."""
        return list(self.margin.parameters())

    def set_centers(self, centers: Tensor, *, frozen: bool) -> None:
        """Begin with given centers.

        Args:
            centers: ``(classes, dimension)``, those of all processes.
            frozen: they never change. To be said before the optimizer is made.

        Raises:
            BadInput: the shape is another.
        """
        if centers.shape != (self.classes, self.dimension):
            raise BadInput(f"expected ({self.classes}, {self.dimension}) centers, got {tuple(centers.shape)}")
        with torch.no_grad():
            self.centers.copy_(centers[self.first : self.last])
        self._frozen = frozen
        for weight in self._own_weights():
            weight.requires_grad_(not frozen)

    def shard_state(self) -> dict[str, Any]:
        """This process's centers, momenta of sampled rows, the margin's statistics and the number of samples drawn."""
        return {
            "classes": self.classes,
            "first": self.first,
            "centers": self.centers.detach(),
            "momenta": dict(self._momenta),
            "common": dict(self._common),
            "margin": self.margin.state_dict(),
            "draws": self.draws,
        }

    def load_shards(self, shards: Sequence[dict[str, Any]]) -> None:
        """Go on from the states of all processes, by rank; there may have been more or fewer.

        Raises:
            BadInput: they are of other classes or another dimension, or one is missing.
        """
        with torch.no_grad():
            self.centers.copy_(self._mine(shards, [shard["centers"] for shard in shards]))
        names = set().union(*(shard["momenta"] for shard in shards))
        self._momenta = {}
        for name in sorted(names):
            parts = [shard["momenta"].get(name, torch.zeros_like(shard["centers"])) for shard in shards]
            self._momenta[name] = self._mine(shards, parts).to(self.centers.device)
        self._common = dict(next((shard["common"] for shard in shards if shard["common"]), {}))
        self.margin.load_state_dict(shards[0]["margin"])
        self.draws = int(shards[0]["draws"])
        self._drop_sample()

    def loss_of_whole(self, features: Tensor, labels: Tensor) -> ObjectiveOutput:
        """The loss of features and labels that are gathered already, in the same order in all processes."""
        count = len(features)
        if not count:
            nothing = features.detach().new_zeros(())
            return ObjectiveOutput(features.sum(), dict.fromkeys(("accuracy", "target_cosine", "norm"), nothing))
        if bool(((labels < 0) | (labels >= self.classes)).any()):
            wrong = labels[(labels < 0) | (labels >= self.classes)][0]
            raise BadInput(f"expected labels of 0..{self.classes - 1}, got {int(wrong)}")
        centers, columns = self._columns(labels)
        norms = torch.linalg.vector_norm(features, dim=1)
        normalized = self.margin.normalized
        given = unit_rows(features) if normalized else features
        values, own = products(given, centers, columns, cosines=normalized, share=1 / self.ranks.world)
        target = self.ranks.all_reduce_sum(own)
        everywhere = self._everywhere(len(centers))
        cosines = Cosines(values, columns, target, norms, features, centers.detach(), everywhere, self.ranks)
        logits, extra = self.margin(cosines)
        best = values.detach().amax(dim=1) if len(centers) else target.new_full((count,), -torch.inf)
        hit = target.detach() >= self.ranks.all_reduce_max(best)
        loss = cross_entropy(logits, columns, self.ranks).mean() + extra
        parts = {
            "accuracy": hit.float().mean(),
            "target_cosine": self._target_cosine(cosines, columns),
            "norm": norms.detach().mean(),
            **self.margin.parts(),
        }
        return ObjectiveOutput(loss, parts)

    @torch.no_grad()
    def _target_cosine(self, cosines: Cosines, columns: Tensor) -> Tensor:
        """The mean cosine to the own class."""
        if self.margin.normalized:
            return cosines.target.mean()
        lengths = torch.zeros_like(cosines.norms)
        rows = (columns >= 0).nonzero().squeeze(1)
        lengths[rows] = torch.linalg.vector_norm(cosines.centers[columns[rows]], dim=1)
        both = cosines.norms * self.ranks.all_reduce_sum(lengths)
        return (cosines.target / both.clamp_min(_LEAST_NORM)).mean()

    def _columns(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The centers of this step, and each label's row of them or -1."""
        here = (labels >= self.first) & (labels < self.last)
        local = labels - self.first
        if self.sample_rate == 1 or not self.training:
            return self.centers, local.where(here, -1)
        centers = self._sample(torch.unique(local[here]))
        return centers, torch.searchsorted(self._rows, local).where(here, -1)

    def _sample(self, needed: Tensor) -> Tensor:
        """Draw the classes of a step, or add to those that are drawn; the parameter that holds them."""
        device = self.centers.device
        going_on = self._drawn and self.sampled.grad is not None
        chosen = torch.zeros(len(self.centers), dtype=torch.bool, device=device)
        if going_on:
            chosen[self._rows] = True
        else:
            chosen = chosen_classes(self.first, self.last, self.sample_rate, self.seed, self.draws, device)
            self.draws += 1
            self._drawn = not self._frozen
        chosen[needed] = True
        rows = chosen.nonzero().squeeze(1)
        if self._frozen:
            self._rows = rows
            return self.centers[rows]
        if self._group is None:
            raise BadInput(f"sample_rate {self.sample_rate}: expected attach(optimizer) before the first training step")
        if going_on and len(rows) == len(self._rows):
            return self.sampled
        weight = nn.Parameter(self.centers[rows])
        if going_on and self.sampled.grad is not None:
            weight.grad = torch.zeros_like(weight)
            weight.grad[torch.searchsorted(rows, self._rows)] = self.sampled.grad
        self._replace(weight, rows)
        if self._optimizer is not None and (self._momenta or self._common):
            self._optimizer.state[weight] = {
                **{name: values[rows] for name, values in self._momenta.items()},
                **self._common,
            }
        return weight

    @torch.no_grad()
    def _stepped(self) -> None:
        """Take back what the optimizer changed."""
        if self._optimizer is None:
            return
        self.centers[self._rows] = self.sampled
        for name, value in self._optimizer.state.get(self.sampled, {}).items():
            if isinstance(value, Tensor) and value.shape == self.sampled.shape and value.ndim:
                if name not in self._momenta:
                    self._momenta[name] = torch.zeros_like(self.centers, dtype=value.dtype)
                self._momenta[name][self._rows] = value
            elif value is not None:
                self._common[name] = value
        self._drop_sample()

    def _drop_sample(self) -> None:
        if self.sample_rate < 1:
            empty = nn.Parameter(self.centers[:0].clone(), requires_grad=not self._frozen)
            self._replace(empty, torch.empty(0, dtype=torch.int64, device=self.centers.device))
            self._drawn = False

    def _replace(self, weight: nn.Parameter, rows: Tensor) -> None:
        """Another parameter for ``sampled``, here and in the optimizer."""
        if self._group is not None and self._optimizer is not None:
            self._optimizer.state.pop(self.sampled, None)
            self._group["params"] = [weight if p is self.sampled else p for p in self._group["params"]]
        self.sampled, self._rows = weight, rows

    def _own_weights(self) -> list[nn.Parameter]:
        weight = self.centers if self.sample_rate == 1 else self.sampled
        return [weight] if isinstance(weight, nn.Parameter) else []

    def _everywhere(self, columns: int) -> int:
        if self.sample_rate == 1 or not self.training:
            return self.classes
        return int(self.ranks.all_reduce_sum(torch.tensor(columns, device=self.ranks.device)))

    def _mine(self, shards: Sequence[dict[str, Any]], parts: Sequence[Tensor]) -> Tensor:
        """This process's rows of what was divided otherwise."""
        found, reached = [], 0
        for shard, part in zip(shards, parts, strict=True):
            if shard["classes"] != self.classes or shard["first"] != reached or part.shape[1] != self.dimension:
                raise BadInput(
                    f"expected centers of {self.classes} classes × {self.dimension} from class {reached} on, "
                    f"got {shard['classes']} × {part.shape[1]} from {shard['first']} on"
                )
            start = shard["first"]
            found.append(part[max(0, self.first - start) : max(0, self.last - start)])
            reached += len(part)
        if reached != self.classes:
            raise BadInput(f"expected the centers of {self.classes} classes, got {reached}")
        return torch.cat(found)


def whole_centers(shards: Sequence[dict[str, Any]]) -> Tensor:
    """``(classes, dimension)``: the centers of what all processes kept (``shard_state``), by rank.

    Those of a loss that has no centers are ``(0, 0)``.
    """
    parts = [shard["centers"] for shard in shards if "centers" in shard]
    return torch.cat(parts) if parts else torch.empty((0, 0))
