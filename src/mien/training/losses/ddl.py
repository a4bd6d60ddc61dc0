"""DDL: the similarities of hard images are to be distributed as those of easy ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.errors import BadInput
from mien.training.losses.margin import unit_rows, widened
from mien.training.losses.objective import Objective, ObjectiveOutput
from mien.training.ranks import Ranks

__all__ = ["DdlSettings", "DistributionDistillation", "similarity_histogram"]

_EPS = 1e-9


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DdlSettings:
    """The settings.

    Attributes:
        name: ``ddl``.
        scale: ArcFace's scale.
        margin: ArcFace's angle, in radians.
        positive_weight: ``lambda_1``, of the divergence between same-person similarities.
        negative_weight: ``lambda_2``, of that between other-person similarities.
        order_weight: ``lambda_3``, of the order loss.
        nodes: of the histograms, evenly over -1..1.
        width: deviation of the bell that a similarity adds to the histogram.
        least_positive: same-person pairs less similar than this are left out, as likely wrong labels.
    """

    name: Literal["ddl"] = "ddl"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.5, ge=0, lt=math.pi / 2)
    positive_weight: float = Field(default=0.1, ge=0)
    negative_weight: float = Field(default=0.02, ge=0)
    order_weight: float = Field(default=0.5, ge=0)
    nodes: int = Field(default=401, ge=3)
    width: float = Field(default=0.1, gt=0)
    least_positive: float = Field(default=0.0, ge=-1, lt=1)


class DistributionDistillation(Objective):
    """ArcFace on all images, and ``l1 KL(E+ | H+) + l2 KL(E- | H-) + l3 sum over i, j of (mean S-_j - mean S+_i)``.

    ``E`` are the similarities among the easy images (data set 0) and ``H`` among the hard ones (data set 1), ``+`` of
    every two of one person, ``-`` of each image and the most similar one of another person; distributions are
    histograms with Gaussian bells, and ``i``, ``j`` go over easy and hard (Huang and others, "Improving Face
    Recognition from Hard Samples via Distribution Distillation Loss", ECCV 2020; bells and weights as
    in the authors' code, which has nodes over 0..1 only). Gradients go to both distributions.

    Labels are of one numbering over both data sets, and both must be in each call (``joint``).

    Args:
        settings: the settings.
        head: gives ArcFace's loss.
        ranks: the processes.
    """

    joint = True

    def __init__(self, settings: DdlSettings, head: Any, ranks: Ranks) -> None:
        super().__init__()
        self.settings, self.head, self.ranks = settings, head, ranks

    def forward(self, features: Tensor, labels: Tensor, sets: Tensor | None = None) -> ObjectiveOutput:
        """The loss of the batch of all processes; see ``Objective``.

        Raises:
            BadInput: a data set is missing, or has no two images of a person or no other person in the batch.
        """
        if sets is None:
            raise BadInput("ddl: expected the data set of each image (0 easy, 1 hard), got none")
        if features.ndim != 2 or not features.shape[0] == len(labels) == len(sets):
            raise BadInput(
                "expected (n, d) features, (n,) labels and (n,) sets, "
                f"got {tuple(features.shape)}, {tuple(labels.shape)} and {tuple(sets.shape)}"
            )
        with torch.autocast(features.device.type, enabled=False):
            counts = self.ranks.row_counts(len(features))
            whole = self.ranks.gather_features(widened(features), counts)
            labels, sets = (self.ranks.gather_features(given, counts) for given in (labels, sets))
            output: ObjectiveOutput = self.head.loss_of_whole(whole, labels)
            distilled, parts = self._distilled(whole, labels, sets)
        return ObjectiveOutput(output.loss + distilled, {**output.parts, **parts})

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """As the head's."""
        self.head.attach(optimizer)

    def shared_parameters(self) -> list[torch.nn.Parameter]:
        """As the head's."""
        shared: list[torch.nn.Parameter] = self.head.shared_parameters()
        return shared

    def set_centers(self, centers: Tensor, *, frozen: bool) -> None:
        """As the head's."""
        self.head.set_centers(centers, frozen=frozen)

    def shard_state(self) -> dict[str, Any]:
        """As the head's."""
        state: dict[str, Any] = self.head.shard_state()
        return state

    def load_shards(self, shards: Sequence[dict[str, Any]]) -> None:
        """As the head's."""
        self.head.load_shards(shards)

    def _distilled(self, features: Tensor, labels: Tensor, sets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        how = self.settings
        unit = unit_rows(features)
        found = [self._similarities(unit[sets == number], labels[sets == number], number) for number in (0, 1)]
        positives, negatives = zip(*found, strict=True)
        positive, negative = (
            _divergence(*(similarity_histogram(part, how.nodes, how.width) for part in parts))
            for parts in (positives, negatives)
        )
        order = torch.stack([below.mean() - above.mean() for below in negatives for above in positives]).sum()
        loss = how.positive_weight * positive + how.negative_weight * negative + how.order_weight * order
        return loss, {
            "distilled": loss.detach(),
            "positive_divergence": positive.detach(),
            "negative_divergence": negative.detach(),
            "order": order.detach(),
        }

    def _similarities(self, unit: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Of every two images of a person, and of each image and the most similar of another person."""
        values = unit @ unit.T
        same = labels[:, None] == labels[None, :]
        pairs = values[same.triu(diagonal=1)]
        if not len(pairs) or bool(same.all()):
            kind = ("easy", "hard")[number]
            raise BadInput(
                f"ddl: expected two {kind} images of a person, and another person, in each batch, "
                f"got {len(unit)} images of {len(torch.unique(labels))}; use the balanced sampler"
            )
        likely = pairs[pairs.detach() > self.settings.least_positive]
        return likely if len(likely) else pairs, values.masked_fill(same, -2).amax(dim=1)


def similarity_histogram(similarities: Tensor, nodes: int, width: float) -> Tensor:
    """``(nodes,)`` that add up to 1: a bell ``exp(-((s - t) / width)^2 / 2)`` of each similarity, nodes over -1..1."""
    places = torch.linspace(-1, 1, nodes, device=similarities.device, dtype=similarities.dtype)
    bells = torch.exp(-0.5 * ((similarities[:, None] - places) / width).square()).sum(dim=0)
    return bells / bells.sum()


def _divergence(easy: Tensor, hard: Tensor) -> Tensor:
    """Kullback and Leibler's, of ``hard`` from ``easy``."""
    return (easy * ((easy + _EPS).log() - (hard + _EPS).log())).sum()
