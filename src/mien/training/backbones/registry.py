"""The networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from mien.errors import BadSettings
from mien.training.backbones.efficientnet import DEPTHS, efficientnet
from mien.training.backbones.ghostnet import WIDTHS, ghostnet
from mien.training.backbones.mobilefacenet import mobilefacenet
from mien.training.backbones.network import Backbone
from mien.training.backbones.openface import MODULES, openface
from mien.training.backbones.residual import BLOCKS, residual_network

__all__ = ["BACKBONES", "Plan", "build_backbone"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is made.

    Attributes:
        size: side of its images in pixels.
        paper: where it is described.
        build: from dimension and dropout to the network, with random weights.
    """

    size: int
    paper: str
    build: Callable[[int, float], Backbone]


def _plan(size: int, paper: str, family: Callable[[str, int, float], Backbone], name: str) -> Plan:
    return Plan(size, paper, lambda dimension, dropout: family(name, dimension, dropout))


BACKBONES: dict[str, Plan] = {
    **{name: _plan(112, "Deng and others, ArcFace (2019)", residual_network, name) for name in BLOCKS},
    "mobilefacenet": Plan(112, "Chen and others, MobileFaceNets (2018)", mobilefacenet),
    **{name: _plan(112, "Han and others, GhostNet (2020)", ghostnet, name) for name in WIDTHS},
    **{name: _plan(112, "Tan and Le, EfficientNet (2019)", efficientnet, name) for name in DEPTHS},
    **{name: _plan(96, "Amos and others, OpenFace (2016)", openface, name) for name in MODULES},
}
"""The networks, by the name that settings and commands use."""


def build_backbone(name: str, *, dimension: int = 512, dropout: float = 0.0) -> Backbone:
    """A network with random weights, in training mode.

    Args:
        name: a key of ``BACKBONES``.
        dimension: numbers in a feature vector.
        dropout: share of the values before the last linear layer that are set to 0 in training, 0 up to 1.

    Raises:
        BadSettings: an unknown name, or a dimension or dropout out of range.
    """
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=3)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise BadSettings(f"backbone: expected one of {', '.join(BACKBONES)}, got {name!r}{meant}")
    if dimension < 1:
        raise BadSettings(f"backbone: expected a dimension of 1 or more, got {dimension}")
    if not 0 <= dropout < 1:
        raise BadSettings(f"backbone: expected a dropout from 0 up to 1, got {dropout}")
    return BACKBONES[name].build(dimension, dropout)
