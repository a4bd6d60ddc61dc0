"""CosFace: a fixed amount is taken off the cosine to the own class."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.margin import Cosines, Margin, logits_of

__all__ = ["CosFace", "CosFaceSettings"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CosFaceSettings:
    """The settings.

    Attributes:
        name: ``cosface``.
        scale: what cosines are multiplied by.
        margin: what is taken off.
    """

    name: Literal["cosface"] = "cosface"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.35, ge=0, lt=2)


class CosFace(Margin):
    """Additive cosine margin: the own class's logit is ``s (cos(theta_y) - m)``, the others' ``s cos(theta_j)``.

    Wang and others, "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018.
    """

    def __init__(self, settings: CosFaceSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits; no extra loss."""
        target = cosines.target - self.settings.margin
        return logits_of(cosines, target, self.settings.scale), target.new_zeros(())
