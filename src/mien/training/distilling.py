"""What a student learns from a teacher: its templates and, where the teacher is mien's own, what lies between.

Embedding loss: ``|s - t|² = 2 - 2 cos(s, t)`` of unit templates, the mean over the batch (as in ShrinkTeaNet, Duong and
others 2019, without the margin). Feature loss: each stage's maps, the student's through a 1×1 convolution to the
teacher's channels and pooled to its size, then ``|s - t|²`` of the maps scaled to unit norm (FitNets, Romero and others
2015; Zagoruyko and Komodakis 2017 for the scaling).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import BadSettings
from mien.training.backbones import Backbone
from mien.training.settings import DistillationSettings

__all__ = ["Distiller"]


class Distiller(nn.Module):
    """The loss between a student's features and a teacher's.

    Args:
        settings: the weights of the parts.
        student: the network that learns.
        dimension: numbers in a template of the teacher; where the student's have another length, a linear layer of
            its own, which is not part of the student, leads from one to the other.
        teacher: the teacher's network, for its stages; None where only its templates are known.

    Raises:
        BadSettings: features are asked for and ``teacher`` is None, or takes images of another size.
    """

    def __init__(
        self, settings: DistillationSettings, student: Backbone, dimension: int, teacher: Backbone | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        same = student.dimension == dimension
        self.projection: nn.Module = nn.Identity() if same else nn.Linear(student.dimension, dimension, bias=False)
        self.matchers = nn.ModuleList()
        # In a list, so that the teacher is no part of what is trained, saved or counted.
        self._teacher = [] if teacher is None else [teacher.eval().requires_grad_(False)]
        if settings.features:
            if teacher is None:
                raise BadSettings("distillation.features: expected distillation.teacher_run, got none")
            if teacher.size != student.size:
                raise BadSettings(
                    f"distillation.teacher_run: expected a network of {student.size} pixels, got {teacher.size}"
                )
            with torch.no_grad():
                image = torch.zeros(2, 3, student.size, student.size)
                training = student.training
                pairs = _paired(student.eval().stages(image)[0], teacher.stages(image)[0])
                student.train(training)
            self.matchers.extend(nn.Conv2d(own.shape[1], wanted.shape[1], 1, bias=False) for own, wanted in pairs)

    @property
    def needs_stages(self) -> bool:
        """Whether ``forward`` wants the student's maps."""
        return len(self.matchers) > 0

    def forward(
        self, features: Tensor, maps: Sequence[Tensor], images: Tensor, templates: Tensor, known: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            features: ``(n, d)`` the student's, of any length.
            maps: the student's stages; empty where not needed.
            images: ``(n, 3, s, s)`` what the student saw.
            templates: ``(n, e)`` the teacher's, unit norm.
            known: ``(n,) bool`` which of them are there; the others do not count.

        Returns:
            The weighted sum, a scalar, and its parts to be logged.
        """
        own = functional.normalize(self.projection(features).float(), dim=1)
        distances = (own - templates).square().sum(dim=1) * known
        embedding = distances.sum() / known.sum().clamp(min=1)
        total = self.settings.embedding * embedding
        parts = {"teacher_distance": embedding.detach()}
        if self.needs_stages:
            with torch.no_grad():
                wanted = self._teacher[0].to(images.device).stages(images)[0]
            losses = []
            for matcher, (mine, theirs) in zip(self.matchers, _paired(maps, wanted), strict=True):
                matched = functional.adaptive_avg_pool2d(matcher(mine).float(), (theirs.shape[2], theirs.shape[3]))
                gap = _unit(matched) - _unit(theirs.float())
                losses.append(gap.square().sum(dim=(1, 2, 3)).mean())
            between = torch.stack(losses).mean()
            total = total + self.settings.features * between
            parts["feature_distance"] = between.detach()
        return total, parts


def _paired(own: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The student's stages with the teacher's of about the same depth, counted from the end."""
    count = min(len(own), len(wanted))
    return list(zip(own[len(own) - count :], wanted[len(wanted) - count :], strict=True))


def _unit(maps: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(maps, dim=(1, 2, 3), keepdim=True)
    return maps / lengths.clamp(min=1e-6)
