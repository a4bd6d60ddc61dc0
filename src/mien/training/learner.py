"""All of a run that has weights: the network, a head for each data set, and what distillation adds."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mien.training.backbones import Backbone, build_backbone
from mien.training.backbones.layers import exact
from mien.training.distilling import Distiller
from mien.training.losses import DdlSettings, Objective, make_objective
from mien.training.ranks import Ranks, convert_batch_norms
from mien.training.settings import TrainingSettings

__all__ = ["Learner", "StepLoss", "TeacherPart", "channels_last", "pixels_to_input"]

_CENTER, _SCALE = 127.5, 127.5


@dataclass(frozen=True, slots=True)
class TeacherPart:
    """What a teacher says of a batch.

    Attributes:
        templates: ``(n, e) float32``, unit norm.
        known: ``(n,) bool``.
    """

    templates: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The loss of a batch.

    Attributes:
        total: what gradients are taken of.
        parts: scalars to be logged, by name.
    """

    total: Tensor
    parts: dict[str, Tensor]


class _Trunk(nn.Module):
    """What every process has the same of; its gradients are averaged over processes."""

    def __init__(self, backbone: Backbone, distiller: Distiller | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.distiller = distiller

    def forward(
        self, images: Tensor, teacher: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        if self.distiller is None or teacher is None:
            features = self.backbone(images)
            return features, features.new_zeros(()), {}
        maps: Sequence[Tensor] = ()
        if self.distiller.needs_stages:
            maps, features = self.backbone.stages(images)
        else:
            features = self.backbone(images)
        loss, parts = self.distiller(features, maps, images, *teacher)
        return features, loss, parts


class Learner:
    """Network, heads and distiller, on their device.

    Args:
        settings: the run's.
        classes: how many each data set has.
        shares: each data set's share of a batch, which is the weight of its head's loss; they add up to 1.
        ranks: the processes.
        teacher_dimension: numbers in a teacher's template, where there is one.
        teacher: the teacher's network, where its stages are wanted.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        classes: Sequence[int],
        shares: Sequence[float],
        ranks: Ranks,
        *,
        teacher_dimension: int | None = None,
        teacher: Backbone | None = None,
    ) -> None:
        self.settings, self.ranks, self.shares = settings, ranks, tuple(shares)
        wanted = settings.backbone
        self.backbone = build_backbone(wanted.name, dimension=wanted.dimension, dropout=wanted.dropout)
        if ranks.world > 1:
            convert_batch_norms(self.backbone, ranks)
        how = settings.distillation
        distiller = None
        if how is not None and teacher_dimension is not None:
            distiller = Distiller(how, self.backbone, teacher_dimension, teacher)
        self.trunk = _Trunk(self.backbone, distiller).to(ranks.device)
        channels_last(self.trunk)
        self.label_weight = 1.0 if how is None else how.labels
        # A joint loss sees all data sets at once, their people numbered one after the other.
        self.joint = isinstance(settings.loss, DdlSettings)
        self._first_labels = torch.tensor([sum(classes[:number]) for number in range(len(classes))])
        heads = [sum(classes)] if self.joint else list(classes)
        self.heads: list[Objective] = [
            make_objective(
                settings.loss,
                classes=count,
                dimension=wanted.dimension,
                ranks=ranks,
                sample_rate=settings.sample_rate,
                seed=settings.seed + number,
            )
            for number, count in enumerate(heads if self.label_weight else ())
        ]
        for head in self.heads:
            head.to(ranks.device)
        whole: nn.Module = torch.compile(self.trunk) if settings.compile else self.trunk  # type: ignore[assignment]
        if ranks.world > 1:
            whole = DistributedDataParallel(whole, **_buffers_of_their_own())
        self._whole = whole
        kind = {"f32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.precision]
        self._autocast: dict[str, Any] | None = None if kind is None else {"dtype": kind}

    def train(self, on: bool = True) -> None:
        """To training, or to evaluation."""
        self.trunk.train(on)
        for head in self.heads:
            head.train(on)

    def head_parameters(self) -> list[nn.Parameter]:
        """The weights of all heads, this process's own."""
        return [weight for head in self.heads for weight in head.parameters()]

    def shared_parameters(self) -> list[nn.Parameter]:
        """The weights that all processes have the same of: the network's, and those of heads that are not divided."""
        return [*self.trunk.parameters(), *(weight for head in self.heads for weight in head.shared_parameters())]

    def loss(self, images: Tensor, labels: Tensor, sets: Tensor, teacher: TeacherPart | None) -> StepLoss:
        """The loss of this process's part of a batch.

        Args:
            images: ``(n, 3, s, s) uint8`` RGB.
            labels: ``(n,) int64`` in their data set.
            sets: ``(n,) int64`` the data set.
            teacher: what the teacher says, or None.
        """
        with self._precision():
            both = None if teacher is None else (teacher.templates, teacher.known)
            pixels = pixels_to_input(images).contiguous(memory_format=torch.channels_last)
            features, distilled, found = self._whole(pixels, both)
        parts = dict(found)
        total = exact(distilled)
        if self.joint:
            labels = labels + self._first_labels.to(labels.device)[sets]
        for number, head in enumerate(self.heads):
            chosen = torch.ones_like(sets, dtype=torch.bool) if self.joint else sets == number
            output = head(features[chosen], labels[chosen], sets[chosen])
            share = 1.0 if self.joint else self.shares[number]
            total = total + self.label_weight * share * output.loss
            suffix = f"_{number}" if len(self.heads) > 1 else ""
            parts.update({f"{name}{suffix}": value for name, value in output.parts.items()})
            parts[f"label_loss{suffix}"] = output.loss.detach()
        parts["loss"] = total.detach()
        return StepLoss(total, parts)

    @staticmethod
    def averaging() -> AbstractContextManager[None]:
        """The other of ``without_averaging``: gradients become the mean of all processes'."""
        return nullcontext()

    def without_averaging(self) -> AbstractContextManager[None]:
        """In it, gradients stay each process's own: for all but the last part of a batch."""
        if isinstance(self._whole, DistributedDataParallel):
            return cast("AbstractContextManager[None]", self._whole.no_sync())
        return nullcontext()

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self.ranks.device.type, **self._autocast)


def channels_last(module: nn.Module) -> None:
    """Lay a network's weights out with channels last, in place: faster on GPUs, and by a third on CPUs."""
    # PyTorch documents this keyword; its type hints leave it out.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def pixels_to_input(images: Tensor) -> Tensor:
    """``(n, 3, s, s)`` uint8 RGB to what the networks take: ``(pixel - 127.5) / 127.5``, in PyTorch's default type."""
    return (images.to(torch.get_default_dtype()) - _CENTER) / _SCALE


def _buffers_of_their_own() -> dict[str, Any]:
    """How ``DistributedDataParallel`` is told to leave buffers alone, which changed its name in PyTorch 2.13."""
    names = inspect.signature(DistributedDataParallel).parameters
    return {"forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers": False}
