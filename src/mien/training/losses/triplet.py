"""Triplets in OpenFace's way: every pair of one person in the batch is an anchor and a positive."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.errors import BadInput
from mien.training.losses.margin import unit_rows, widened
from mien.training.losses.objective import Objective, ObjectiveOutput
from mien.training.ranks import Ranks

__all__ = ["TripletObjective", "TripletSettings"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TripletSettings:
    """The settings.

    Attributes:
        name: ``triplet``.
        margin: alpha, of squared distances between unit templates (0..4).
        negative: which of the semi-hard negatives: a ``random`` one, or the ``hardest``, which is the nearest.
    """

    name: Literal["triplet"] = "triplet"
    margin: float = Field(default=0.2, gt=0, le=4)
    negative: Literal["random", "hardest"] = "random"


class TripletObjective(Objective):
    """``mean of max(0, |a - p|^2 - |a - n|^2 + alpha)`` over triplets of unit templates.

    Schroff and others, "FaceNet", CVPR 2015, section 3; the triplets as OpenFace makes them (Amos and others,
    "OpenFace: A general-purpose face recognition library with mobile applications", 2016): each image goes
    through the network once; each two images of one person are an anchor and a positive, in the order of the batch;
    their negative is one image of another person with ``|a - p|^2 < |a - n|^2 < |a - p|^2 + alpha`` (semi-hard). A pair
    without one is dropped. The mean is over the triplets that are left; with none of them the loss is 0.

    The batch of all processes is put in the loader's order first, so triplets are the same for any number of processes.

    Args:
        settings: alpha and the choice of negatives.
        ranks: the processes.
        seed: of the choice; the same in all processes.
    """

    draws: Tensor

    def __init__(self, settings: TripletSettings, ranks: Ranks, seed: int = 0) -> None:
        super().__init__()
        self.settings, self.ranks, self.seed = settings, ranks, seed
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, labels: Tensor, sets: Tensor | None = None) -> ObjectiveOutput:
        """The loss of the batch of all processes; see ``Objective``. It logs pairs, triplets and the mean distances.

        Raises:
            BadInput: shapes do not fit, or no person of the batch has two images, or there is only one.
        """
        if features.ndim != 2 or labels.shape != features.shape[:1]:
            raise BadInput(
                f"expected (n, d) features and (n,) labels, got {tuple(features.shape)} and {tuple(labels.shape)}"
            )
        with torch.autocast(features.device.type, enabled=False):
            counts = self.ranks.row_counts(len(features))
            order = self.ranks.batch_order(counts)
            whole = self.ranks.gather_features(widened(features), counts)[order]
            return self._loss(whole, self.ranks.gather_features(labels, counts)[order])

    def _loss(self, features: Tensor, labels: Tensor) -> ObjectiveOutput:
        unit = unit_rows(features)
        distances = (2 - 2 * (unit @ unit.T)).clamp_min(0)
        same = labels[:, None] == labels[None, :]
        anchors, positives = same.triu(diagonal=1).nonzero(as_tuple=True)
        if len(features) and (not len(anchors) or bool(same.all())):
            raise BadInput(
                "triplets: expected two images of a person, and another person, in each batch, "
                f"got {len(features)} images of {len(torch.unique(labels))}; use the balanced sampler"
            )
        near = distances.detach()[anchors]
        between = near.gather(1, positives[:, None])
        fit = ~same[anchors] & (near > between) & (near < between + self.settings.margin)
        used = fit.any(dim=1)
        anchors, positives, fit, near = anchors[used], positives[used], fit[used], near[used]
        negatives = self._choose(near, fit)
        to_positive, to_negative = distances[anchors, positives], distances[anchors, negatives]
        losses = (to_positive - to_negative + self.settings.margin).clamp_min(0)
        loss = losses.mean() if len(losses) else unit.sum() * 0
        some = max(1, len(losses))
        parts = {
            "pairs": loss.new_tensor(float(len(used))),
            "triplets": loss.new_tensor(float(len(losses))),
            "positive_distance": between.sum() / max(1, len(used)),
            "negative_distance": to_negative.detach().sum() / some,
        }
        return ObjectiveOutput(loss, {name: value.detach() for name, value in parts.items()})

    def _choose(self, near: Tensor, fit: Tensor) -> Tensor:
        """One of the negatives that fit, for each pair."""
        if not len(near):
            return torch.empty(0, dtype=torch.int64, device=near.device)
        if self.settings.negative == "hardest":
            return near.masked_fill(~fit, torch.inf).argmin(dim=1)
        generator = torch.Generator().manual_seed((self.seed << 32) + int(self.draws))
        if self.training:
            self.draws += 1
        lots = torch.rand(fit.shape, generator=generator).to(fit.device)
        return lots.masked_fill(~fit, -1).argmax(dim=1)
