"""Masks, glasses and headscarves, drawn on an aligned face.

``head`` fits a small 3-D head to the landmarks and says where its points are seen, so that what is worn turns with the
face; ``painting`` puts colored shapes on an image; each kind of thing has a file of its own. Nothing is a picture.
"""

from __future__ import annotations

from mien.training.augmentation.occlusion.glasses import glasses
from mien.training.augmentation.occlusion.head import Head
from mien.training.augmentation.occlusion.headscarf import headscarf
from mien.training.augmentation.occlusion.mask import mask
from mien.training.augmentation.occlusion.sunglasses import sunglasses

__all__ = ["Head", "glasses", "headscarf", "mask", "sunglasses"]
