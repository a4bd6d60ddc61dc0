"""CIFP: images whose false positives are more than others' get a larger penalty."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.margin import Cosines, Margin, logits_of, unit_rows

__all__ = ["Cifp", "CifpSettings"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CifpSettings:
    """The settings.

    Attributes:
        name: ``cifp``.
        scale: what cosines are multiplied by.
        margin: what is taken off the target cosine of every image, as CosFace's.
        rate: the false positive rate of the whole batch that sets the threshold; None for ``1 / (classes - 1)``.
    """

    name: Literal["cifp"] = "cifp"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.35, ge=0, lt=2)
    rate: float | None = Field(default=None, gt=0, lt=1)


class Cifp(Margin):
    """The own class's logit is ``s (cos(theta_y) - m - (1 + cos(theta_y)) p)``, ``p`` the image's false positives.

    Xu and others, "Consistent Instance False Positive Improves Fairness in Face Recognition", CVPR 2021. Of all cosines
    in the batch to classes that are not the image's own, but for those over its own target, the highest ``rate`` are
    false positives; ``p`` is the mean square of an image's, 0 where it has none. Computed as in the authors' code: in
    ``p``, cosines that are over ``cos(theta_y) - m`` give no gradient to the class centers, nor does the factor
    ``1 + cos(theta_y)``. Cosines as low as the threshold count (there, only those above it). With a sampled head the
    classes are the sampled ones.
    """

    def __init__(self, settings: CifpSettings) -> None:
        super().__init__()
        self.settings = settings
        self._penalty = torch.zeros(())

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits; no extra loss."""
        how, reduced = self.settings, cosines.ranks.all_reduce_sum
        with torch.no_grad():
            rows, columns = self._false_positives(cosines)
        target = cosines.target - how.margin
        picked = cosines.values[rows, columns]
        without = _fixed_centers(cosines, rows, columns)
        squares = picked.where(target.detach()[rows] > picked.detach(), without).square()
        sums = reduced(torch.zeros_like(target).index_add(0, rows, squares))
        counts = reduced(torch.zeros_like(target).index_add(0, rows, torch.ones_like(squares)))
        penalty = sums / counts.clamp_min(1)
        self._penalty = penalty.detach().mean()
        own = (cosines.columns >= 0).nonzero().squeeze(1)
        here = _fixed_centers(cosines, own, cosines.columns[own])
        fixed = reduced(torch.zeros_like(target).index_add(0, own, here))
        return logits_of(cosines, target - (1 + fixed) * penalty, how.scale), target.new_zeros(())

    def parts(self) -> dict[str, Tensor]:
        """The mean of ``p``."""
        return {"false_positives": self._penalty}

    def _false_positives(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Rows and columns of this process's false positives."""
        ranks, others = cosines.ranks, max(1, cosines.classes - 1)
        found = cosines.values.masked_fill(cosines.values > cosines.target[:, None], -torch.inf)
        over = (found == -torch.inf).sum()
        own = (cosines.columns >= 0).nonzero().squeeze(1)
        found[own, cosines.columns[own]] = -torch.inf
        left = len(found) * others - int(ranks.all_reduce_sum(over))
        rate = 1 / others if self.settings.rate is None else self.settings.rate
        most = math.ceil(rate * left)
        if most < 1:
            return own[:0], own[:0]
        highest = found.new_full((most,), -torch.inf)
        here = min(most, found.numel())
        highest[:here] = found.flatten().topk(here).values
        threshold = torch.cat(ranks.all_gather(highest)).topk(most).values[-1]
        rows, columns = ((found >= threshold) & (found > -torch.inf)).nonzero(as_tuple=True)
        return rows, columns


def _fixed_centers(cosines: Cosines, rows: Tensor, columns: Tensor) -> Tensor:
    """Cosines of some pairs, with gradient to the features alone."""
    features = unit_rows(cosines.features[rows])
    return (features * torch.nn.functional.normalize(cosines.centers[columns])).sum(dim=1)
