"""All changes of an image, one after the other, as settings say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mien.errors import BadInput
from mien.training.augmentation.color import brightness, contrast, gray, hue, saturation
from mien.training.augmentation.degradation import (
    gaussian_blur,
    gaussian_noise,
    jpeg,
    motion_blur,
    poisson_noise,
    resample,
)
from mien.training.augmentation.drawing_lots import happens
from mien.training.augmentation.erasing import erasing
from mien.training.augmentation.geometric import affine, crop, flip
from mien.training.augmentation.occlusion import Head, glasses, headscarf, mask, sunglasses
from mien.training.augmentation.settings import AugmentationSettings
from mien.types import FloatArray, ImageArray

__all__ = ["OPERATIONS", "Augmentation"]

OPERATIONS = (
    "mask",
    "glasses",
    "sunglasses",
    "headscarf",
    "flip",
    "affine",
    "crop",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "gray",
    "erasing",
    "gaussian_blur",
    "motion_blur",
    "resample",
    "gaussian_noise",
    "poisson_noise",
    "jpeg",
)
"""Names of the operations: attributes of ``AugmentationSettings``, in the order in which they are carried out."""

_WORN = ("mask", "glasses", "sunglasses", "headscarf")
_CHANGES: dict[str, Callable[[ImageArray, Any, np.random.Generator], ImageArray]] = {
    "affine": affine,
    "crop": crop,
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
    "erasing": erasing,
    "gaussian_blur": gaussian_blur,
    "motion_blur": motion_blur,
    "resample": resample,
    "gaussian_noise": gaussian_noise,
    "poisson_noise": poisson_noise,
    "jpeg": jpeg,
}


class Augmentation:
    """Changes images at random.

    The order is that of the world: what is worn, how the face is seen, the light, what hides it, then what the camera
    and the file do to it. The same generator gives the same image. Pickles, and is safe to use from many threads as
    long as each has a generator of its own.

    Args:
        settings: how likely and how strong each change is.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        self.settings = settings
        self._chances = {name: float(getattr(settings, name).probability) for name in OPERATIONS}
        self._worn = any(self._chances[name] for name in _WORN)
        self._changes = [
            (self._chances[name], change, getattr(settings, name))
            for name, change in _CHANGES.items()
            if self._chances[name]
        ]

    def __call__(
        self, image: ImageArray, landmarks: FloatArray | None, random: np.random.Generator
    ) -> tuple[ImageArray, bool]:
        """One image changed.

        Args:
            image: ``(s, s, 3) uint8`` RGB, an aligned face; it stays as it is.
            landmarks: ``(5, 2)`` in its pixels, in the order of ``mien.types.Faces``; None, or numbers that are not
                finite, for those that faces are aligned to.
            random: draws everything.

        Returns:
            A new contiguous image of the same shape, and whether left and right are swapped in it.

        Raises:
            BadInput: another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != 3:
            raise BadInput(f"image: expected uint8 of shape (s, s, 3), got {image.dtype} of {image.shape}")
        if landmarks is not None and landmarks.shape != (5, 2):
            raise BadInput(f"landmarks: expected shape (5, 2), got {landmarks.shape}")
        changed = self._dressed(image, landmarks, random) if self._worn else image
        mirrored = happens(random, self._chances["flip"])
        if mirrored:
            changed = flip(changed)
        for chance, change, settings in self._changes:
            if random.random() < chance:
                changed = change(changed, settings, random)
        if happens(random, self._chances["gray"]):
            changed = gray(changed)
        return (changed.copy() if changed is image else np.ascontiguousarray(changed)), mirrored

    def _dressed(self, image: ImageArray, landmarks: FloatArray | None, random: np.random.Generator) -> ImageArray:
        """With what is worn on or around the face."""
        settings, chances = self.settings, self._chances
        worn = {name: happens(random, chances[name]) for name in _WORN}
        if not any(worn.values()):
            return image
        head = Head.fitted(landmarks, len(image))
        # From the skin outward; dark glasses are worn instead of others.
        if worn["mask"]:
            image = mask(image, head, settings.mask, random)
        if worn["sunglasses"]:
            image = sunglasses(image, head, settings.sunglasses, random)
        elif worn["glasses"]:
            image = glasses(image, head, settings.glasses, random)
        if worn["headscarf"]:
            image = headscarf(image, head, settings.headscarf, random)
        return image
