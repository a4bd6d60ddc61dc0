"""CurricularFace: hard negatives count little at first and more as the training goes on."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.arcface import with_angle
from mien.training.losses.margin import Cosines, Margin, angle_added, logits_of

__all__ = ["CurricularFace", "CurricularFaceSettings"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CurricularFaceSettings:
    """The settings.

    Attributes:
        name: ``curricularface``.
        scale: what cosines are multiplied by.
        margin: ArcFace's angle, in radians.
        decay: of the moving mean ``t`` of the target cosines.
    """

    name: Literal["curricularface"] = "curricularface"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.5, ge=0, lt=math.pi / 2)
    decay: float = Field(default=0.99, ge=0, lt=1)


class CurricularFace(Margin):
    """ArcFace's target; a negative is hard where ``cos(theta_j) > cos(theta_y + m)``, and then has another logit.

    Hard: ``s cos(theta_j) (t + cos(theta_j))``; easy: ``s cos(theta_j)``. ``t`` is the moving mean of the target
    cosines, 0 at first: ``t <- decay t + (1 - decay) mean cos(theta_y)``, before it is used (Huang and others,
    "CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition", CVPR 2020). The
    comparison and ``t`` have no gradient. It moves only in training.
    """

    t: Tensor

    def __init__(self, settings: CurricularFaceSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("t", torch.zeros(()))

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits; no extra loss."""
        how = self.settings
        if self.training:
            self.t.lerp_(cosines.target.detach().mean(), 1 - how.decay)
        bar = angle_added(cosines.target.detach(), how.margin)
        values: Tensor = _Harder.apply(cosines.values, bar, self.t.clone())  # type: ignore[no-untyped-call]
        target = with_angle(cosines.target, how.margin)
        return logits_of(cosines, target, how.scale, values), target.new_zeros(())

    def parts(self) -> dict[str, Tensor]:
        """``t``."""
        return {"curriculum": self.t.detach().clone()}


class _Harder(torch.autograd.Function):
    """``v (t + v)`` where ``v`` is over the bar; of what is kept for the way back, one copy."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bar: Tensor, t: Tensor) -> Tensor:
        ctx.save_for_backward(values, bar, t)
        return torch.where(values > bar[:, None], (values + t).mul_(values), values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, bar, t = ctx.saved_tensors
        slope = (values * 2).add_(t).masked_fill_(values <= bar[:, None], 1)
        return slope.mul_(gradient), None, None
