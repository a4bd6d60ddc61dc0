"""MagFace: long features get a larger margin, and are rewarded, so that length becomes quality."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.arcface import with_angle
from mien.training.losses.margin import Cosines, Margin, logits_of

__all__ = ["MagFace", "MagFaceSettings"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class MagFaceSettings:
    """The settings; the defaults are those of the authors' training script.

    Attributes:
        name: ``magface``.
        scale: what cosines are multiplied by.
        shortest: ``l_a``: lengths below count as this.
        longest: ``u_a``: lengths above count as this.
        least_margin: ``l_m``, radians, at ``shortest``.
        most_margin: ``u_m``, radians, at ``longest``.
        regularization: ``lambda_g``, the weight of ``g``.
        easy_margin: as ArcFace's.
    """

    name: Literal["magface"] = "magface"
    scale: float = Field(default=64.0, gt=0)
    shortest: float = Field(default=10.0, gt=0)
    longest: float = Field(default=110.0, gt=0)
    least_margin: float = Field(default=0.45, ge=0, lt=math.pi / 2)
    most_margin: float = Field(default=0.8, ge=0, lt=math.pi / 2)
    regularization: float = Field(default=35.0, ge=0)
    easy_margin: bool = True

    def __post_init__(self) -> None:
        if self.shortest >= self.longest or self.least_margin > self.most_margin:
            raise ValueError(
                "expected shortest < longest and least_margin <= most_margin, got "
                f"{self.shortest}, {self.longest}, {self.least_margin}, {self.most_margin}"
            )


class MagFace(Margin):
    """ArcFace with the margin ``m(a)`` of the feature's length ``a``, and ``lambda_g g(a)`` added to the loss.

    ``m(a) = (u_m - l_m) / (u_a - l_a) (a - l_a) + l_m`` and ``g(a) = 1 / a + a / u_a^2``, which falls up to ``u_a``
    (Meng and others, "MagFace: A Universal Representation for Face Recognition and Quality Assessment", CVPR 2021).
    Both have a gradient to the length, which is none outside of ``l_a..u_a``.
    """

    def __init__(self, settings: MagFaceSettings) -> None:
        super().__init__()
        self.settings = settings
        self._margin = torch.zeros(())

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits, and ``lambda_g`` times the mean of ``g``."""
        how = self.settings
        lengths = cosines.norms.clamp(how.shortest, how.longest)
        slope = (how.most_margin - how.least_margin) / (how.longest - how.shortest)
        margin = slope * (lengths - how.shortest) + how.least_margin
        self._margin = margin.detach().mean()
        target = with_angle(cosines.target, margin, easy=how.easy_margin)
        extra = how.regularization * (1 / lengths + lengths / how.longest**2).mean()
        return logits_of(cosines, target, how.scale), extra

    def parts(self) -> dict[str, Tensor]:
        """The mean margin."""
        return {"margin": self._margin}
