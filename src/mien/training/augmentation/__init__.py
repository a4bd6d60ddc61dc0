"""Changes of aligned face images before they are trained on.

``settings`` says how likely and how strong each is, ``presets`` are sets of those; ``geometric``, ``color``,
``degradation`` and ``erasing`` are the operations, ``occlusion`` draws masks, glasses and headscarves; ``augmenting``
carries them out one after the other.
"""

from __future__ import annotations

from mien.training.augmentation.augmenting import OPERATIONS, Augmentation
from mien.training.augmentation.presets import PRESETS
from mien.training.augmentation.settings import AugmentationSettings

__all__ = ["OPERATIONS", "PRESETS", "Augmentation", "AugmentationSettings"]
