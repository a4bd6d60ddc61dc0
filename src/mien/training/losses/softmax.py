"""Softmax without a margin, plain or of cosines."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mien.training.losses.margin import Cosines, Margin

__all__ = ["Softmax", "SoftmaxSettings"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SoftmaxSettings:
    """The settings.

    Attributes:
        name: ``softmax``.
        normalized: take cosines instead of inner products.
        scale: what they are multiplied by; NormFace's 30 suits cosines, 1 is usual for inner products. None for that.
    """

    name: Literal["softmax"] = "softmax"
    normalized: bool = False
    scale: float | None = Field(default=None, gt=0)


class Softmax(Margin):
    """Softmax cross entropy: ``L = -log(e^(z_y) / sum over j of e^(z_j))``, ``z_j = s w_j x``, without biases.

    With ``normalized``, ``w_j`` and ``x`` have unit norm (Wang and others, "NormFace: L2 hypersphere embedding for face
    verification", ACM MM 2017).
    """

    def __init__(self, settings: SoftmaxSettings) -> None:
        super().__init__()
        self.normalized = settings.normalized
        usual = 30.0 if settings.normalized else 1.0
        self._scale = usual if settings.scale is None else settings.scale

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits; no extra loss."""
        return cosines.values * self._scale, cosines.target.new_zeros(())
