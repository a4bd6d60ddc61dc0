"""Sunglasses: larger lenses that hold back most of the light."""

from __future__ import annotations

import numpy as np

from mien.training.augmentation.drawing_lots import between, one_of
from mien.training.augmentation.occlusion.glasses import draw_frame, lens_outlines, made_frame
from mien.training.augmentation.occlusion.head import Head
from mien.training.augmentation.occlusion.painting import Color, Sheet, light_on, tinted
from mien.training.augmentation.settings import SunglassesSettings
from mien.types import ImageArray

__all__ = ["sunglasses"]

_LENSES: tuple[Color, ...] = ((14, 14, 16), (14, 14, 16), (40, 28, 20), (22, 32, 28), (30, 34, 52))
_SHINE: Color = (150, 160, 172)


def sunglasses(image: ImageArray, head: Head, settings: SunglassesSettings, random: np.random.Generator) -> ImageArray:
    """A face with sunglasses on; lenses may be lighter below, and reflect something."""
    frame = made_frame(settings.variety, random, size=1.0 + 0.22 * between(random, 1 - settings.variety, 1.0))
    color = tinted(one_of(random, _LENSES), 0.5 * settings.variety, random)
    opacity = between(random, settings.least_opacity, 1.0)
    lighter = settings.variety * between(random, 0.0, 0.3)
    shine = settings.variety * between(random, 0.0, 0.5)
    height = between(random, 0.1, 0.5)
    sheet = Sheet(head.side)
    for outline in lens_outlines(frame):
        low, high = outline[:, 1].min(), outline[:, 1].max()
        # From the top down, each band over the rest of the lens below it.
        for step in range(6):
            band = outline.copy()
            band[:, 1] = np.maximum(band[:, 1], low + (high - low) * step / 6)
            sheet.fill(head.seen(band), color, max(settings.least_opacity, opacity * (1 - lighter * step / 5)))
        if shine > 0.1:
            gleam = outline.copy()
            gleam[:, 1] = np.clip(gleam[:, 1], low + (high - low) * 0.12, low + (high - low) * (0.12 + 0.5 * height))
            gleam[:, 0] = gleam[:, 0] * 0.72 + 0.28 * outline[:, 0].mean()
            mixed = tuple(c + shine * 0.6 * (s - c) for c, s in zip(color, _SHINE, strict=True))
            sheet.fill(head.seen(gleam), (mixed[0], mixed[1], mixed[2]), max(opacity, settings.least_opacity))
    sheet.soften(0.25)
    draw_frame(sheet, head, frame)
    return sheet.over(image, light_on(image, 0.7))
