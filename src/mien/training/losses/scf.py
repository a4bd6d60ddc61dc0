"""SCF: how certain a template is, learned beside it as the concentration of a distribution on the sphere."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from mien.errors import BadSettings
from mien.training.losses.arcface import with_angle
from mien.training.losses.margin import Cosines, Margin, logits_of, widened

__all__ = ["Scf", "ScfSettings", "log_bessel"]

_MOST_LOG_KAPPA = 20.0


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ScfSettings:
    """The settings.

    Attributes:
        name: ``scf``.
        scale: ArcFace's scale.
        margin: ArcFace's angle, in radians.
        radius: ``r`` of the sphere; it changes the loss by a constant.
        weight: of the confidence loss.
    """

    name: Literal["scf"] = "scf"
    scale: float = Field(default=64.0, gt=0)
    margin: float = Field(default=0.5, ge=0, lt=math.pi / 2)
    radius: float = Field(default=64.0, gt=0)
    weight: float = Field(default=1.0, ge=0)


class Scf(Margin):
    """ArcFace, and beside it a small network that learns each image's concentration ``kappa``.

    ``L = -kappa cos(theta_y) - (d/2 - 1) log(kappa) + log I_(d/2-1)(kappa) + d log(r) + d/2 log(2 pi)``: the
    Kullback-Leibler divergence of an r-radius von Mises-Fisher distribution around the template from the own class's
    center (Li and others, "Spherical Confidence Learning for Face Recognition", CVPR 2021). The authors train it after
    the network, which is then fixed; here both are trained at once, and the confidence loss gives no gradient to
    features and centers, so these learn as they would without it. Its network sees the features (layers of ``d``,
    ``d / 2``, ``d / 4`` and 1, giving ``log(kappa)``, kept within -20..20); the authors' sees the last maps.

    Args:
        settings: the settings.
        dimension: ``d``, 4 or more.
    """

    def __init__(self, settings: ScfSettings, dimension: int) -> None:
        super().__init__()
        if dimension < 4:
            raise BadSettings(f"loss scf: expected templates of 4 or more numbers, got {dimension}")
        self.settings, self._dimension = settings, dimension
        self.confidence = nn.Sequential(
            nn.Linear(dimension, dimension // 2),
            nn.ReLU(),
            nn.Linear(dimension // 2, dimension // 4),
            nn.ReLU(),
            nn.Linear(dimension // 4, 1),
        )
        self._found: dict[str, Tensor] = {}

    def forward(self, cosines: Cosines) -> tuple[Tensor, Tensor]:
        """Logits, and the mean confidence loss."""
        how, size = self.settings, self._dimension
        kappa = self.kappa(cosines.features.detach())
        order = size / 2 - 1
        constant = size * math.log(how.radius) + size / 2 * math.log(2 * math.pi)
        losses = -kappa * cosines.target.detach().double() - order * kappa.log() + log_bessel(order, kappa) + constant
        extra = losses.mean().to(cosines.values.dtype)
        self._found = {"confidence_loss": extra.detach(), "kappa": kappa.detach().mean()}
        target = with_angle(cosines.target, how.margin)
        return logits_of(cosines, target, how.scale), how.weight * extra

    def kappa(self, features: Tensor) -> Tensor:
        """``(n,) float64``: concentrations of ``(n, d)`` features."""
        logarithm: Tensor = self.confidence(widened(features)).squeeze(1)
        return logarithm.double().clamp(-_MOST_LOG_KAPPA, _MOST_LOG_KAPPA).exp()

    def parts(self) -> dict[str, Tensor]:
        """The confidence loss and the mean concentration."""
        return self._found


def log_bessel(order: float, x: Tensor) -> Tensor:
    """``log I_order(x)``, the modified Bessel function of the first kind, for ``x > 0``.

    The uniform expansion in the order with three terms (NIST Digital Library of Mathematical Functions, 10.41.3 and
    10.41.10), which neither overflows nor underflows and can be differentiated: its error is below 0.02 at order 1,
    1e-5 at 7 and 1e-9 at 63.

    Args:
        order: 1 or more.
        x: float64.
    """
    z = x / order
    root = (1 + z.square()).sqrt()
    p = 1 / root
    first = (3 * p - 5 * p**3) / 24
    second = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    third = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    series = torch.log1p(first / order + second / order**2 + third / order**3)
    exponent = root + (z / (1 + root)).log()
    return order * exponent - 0.5 * math.log(2 * math.pi * order) - 0.5 * root.log() + series
