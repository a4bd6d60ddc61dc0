"""ArcFace: an angle is added between a face and its own class."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.margin import Cosines, Margin, angle_added, logits_of

__all__ = ["ArcFace", "ArcFaceSettings", "with_angle"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ArcFaceSettings:
    """ArcFace's settings.

    Attributes:
        name: ``arcface``.
        scale: what cosines are multiplied by.
        margin: the angle, in radians.
        easy_margin: add it only below 90 degrees; see ``ArcFace``.
        gradient: ``exact``, or ``straight_through``: the margin changes the loss but not its slope, as in
            arcface_torch, which computes it outside of the graph.
    """

    name: Literal["arcface"] = "arcface"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.5, ge=0, lt=math.pi / 2)
    easy_margin: bool = False
    gradient: Literal["exact", "straight_through"] = "exact"


class ArcFace(Margin):
    """Additive angular margin (Deng and others, "ArcFace: Additive Angular Margin Loss", CVPR 2019).

    ``L = -log(e^(s cos(theta_y + m)) / (e^(s cos(theta_y + m)) + sum over j != y of e^(s cos(theta_j))))``

    Beyond ``theta_y = pi - m`` the cosine of the sum would rise again and reward being wrong. There the target is
    ``cos(theta_y) - m sin(m)`` instead, which falls on, at a jump of at most ``m sin(m) - (1 - cos(m))`` (the authors'
    code does the same). With ``easy_margin`` the margin holds only where ``cos(theta_y) > 0``, and there is none else.
    """

    def __init__(self, settings: ArcFaceSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits; no extra loss."""
        how = self.settings
        target = with_angle(cosines.target, how.margin, easy=how.easy_margin)
        if how.gradient == "straight_through":
            target = cosines.target + (target - cosines.target).detach()
        return logits_of(cosines, target, how.scale), target.new_zeros(())


def with_angle(cosine: Tensor, margin: Tensor | float, *, easy: bool = False) -> Tensor:
    """The target cosine with an angular margin, as ``ArcFace`` describes.

    Args:
        cosine: ``(n,)``.
        margin: radians, one or ``(n,)``.
        easy: ``easy_margin``.
    """
    turn = cosine.new_tensor(margin) if isinstance(margin, float) else margin
    added = angle_added(cosine, turn)
    if easy:
        return added.where(cosine > 0, cosine)
    return added.where(cosine > -turn.cos(), cosine - turn * turn.sin())
