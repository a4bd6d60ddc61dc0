"""Networks from aligned faces to features.

``registry`` knows them by name; ``network`` is what they have in common: a chain of stages and a head. The families are
``residual`` (ArcFace's IR-18 to IR-101), ``mobilefacenet``, ``ghostnet``, ``efficientnet`` and ``openface``
(nn4.small2, nn4.small1, nn4 and nn2). ``layers``, ``excitation`` and ``inception`` are what they are made of.
"""

from __future__ import annotations

from mien.training.backbones.network import Backbone
from mien.training.backbones.registry import BACKBONES, Plan, build_backbone

__all__ = ["BACKBONES", "Backbone", "Plan", "build_backbone"]
