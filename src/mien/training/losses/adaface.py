"""AdaFace: the margin follows the image's quality, told by its feature's length."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.margin import Cosines, Margin, angle_added, logits_of

__all__ = ["AdaFace", "AdaFaceSettings"]

_SHORTEST, _LONGEST = 0.001, 100.0
_EPS = 0.001


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AdaFaceSettings:
    """The settings.

    Attributes:
        name: ``adaface``.
        scale: what cosines are multiplied by.
        margin: ``m``, radians and cosine.
        spread: ``h``: the share of a deviation in lengths at which the margin is at its end.
        decay: of the moving mean and deviation of the lengths.
    """

    name: Literal["adaface"] = "adaface"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.4, ge=0, lt=math.pi / 2)
    spread: float = Field(default=0.333, gt=0)
    decay: float = Field(default=0.99, ge=0, lt=1)


class AdaFace(Margin):
    """The own class's logit is ``s (cos(theta_y + g_angle) - g_add)`` with the image's own margins.

    ``q = clip((|z| - mean) / (deviation / h), -1, 1)``, ``g_angle = -m q``, ``g_add = m q + m``, with moving mean and
    deviation of the lengths over the batches of all processes (Kim and others, "AdaFace: Quality Adaptive Margin for
    Face Recognition", CVPR 2022). Lengths have no gradient and are kept within 0.001..100; the
    angle within 0.001..pi - 0.001, beyond which the cosine stays; statistics begin at 20 and 100 and move before they
    are used (all as in the authors' code). They move only in training, the deviation only with two images and more.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: AdaFaceSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))
        self._quality = torch.zeros(())

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits; no extra loss."""
        how = self.settings
        norms = cosines.norms.detach().clamp(_SHORTEST, _LONGEST)
        if self.training:
            self.mean.lerp_(norms.mean(), 1 - how.decay)
            if len(norms) > 1:
                self.deviation.lerp_(norms.std(), 1 - how.decay)
        quality = ((norms - self.mean) / (self.deviation + _EPS) * how.spread).clamp(-1, 1)
        self._quality = quality.mean()
        turn = -how.margin * quality
        target = _turned(cosines.target, turn) - how.margin * (1 + quality)
        return logits_of(cosines, target, how.scale), target.new_zeros(())

    def parts(self) -> dict[str, Tensor]:
        """The mean of ``q``, and the moving mean of the lengths."""
        return {"quality": self._quality, "norm_mean": self.mean.clone()}


def _turned(cosine: Tensor, turn: Tensor) -> Tensor:
    """``cos(clip(theta + turn, eps, pi - eps))``, told apart by cosines as the angle itself has no safe slope."""
    added = angle_added(cosine, turn)
    # theta + turn < eps, where eps - turn > 0; theta + turn > pi - eps, where that is below pi.
    below = (turn < _EPS) & (cosine > (_EPS - turn).cos())
    above = (turn > -_EPS) & (cosine < (math.pi - _EPS - turn).cos())
    edge = math.cos(_EPS)
    return added.masked_fill(below, edge).masked_fill(above, -edge)
