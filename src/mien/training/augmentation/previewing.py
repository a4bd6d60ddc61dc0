"""What augmentation does to some images, operation by operation, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mien.training.augmentation.augmenting import OPERATIONS, Augmentation
from mien.training.augmentation.settings import AugmentationSettings
from mien.types import FloatArray, ImageArray

__all__ = ["PreviewColumn", "only", "preview"]


@dataclass(frozen=True, slots=True, eq=False)
class PreviewColumn:
    """One operation on all images.

    Attributes:
        title: ``original``, an operation's name, or ``all``.
        probability: of the operation; None for the others.
        images: ``(s, s, 3) uint8`` RGB each.
    """

    title: str
    probability: float | None
    images: list[ImageArray]


def only(settings: AugmentationSettings, operation: str) -> AugmentationSettings:
    """The same strengths, with one operation on every image and the others on none."""
    changed = {
        field.name: replace(getattr(settings, field.name), probability=float(field.name == operation))
        for field in fields(settings)
        if field.name in OPERATIONS
    }
    return replace(settings, **changed)


def preview(
    images: Sequence[ImageArray],
    landmarks: Sequence[FloatArray | None],
    settings: AugmentationSettings,
    *,
    operations: Sequence[str] | None = None,
    together: int = 2,
    seed: int = 0,
) -> list[PreviewColumn]:
    """The originals, each operation by itself, and all together as training sees them.

    Args:
        images: ``(s, s, 3) uint8`` RGB each, aligned.
        landmarks: of each image, see ``Augmentation``.
        settings: strengths and probabilities.
        operations: which; None for those whose probability is not 0.
        together: columns with all operations, at their probabilities.
        seed: of everything.
    """
    chosen = [name for name in OPERATIONS if getattr(settings, name).probability] if operations is None else operations
    columns = [PreviewColumn("original", None, list(images))]
    shown = [(name, getattr(settings, name).probability, only(settings, name)) for name in chosen]
    shown += [("all", None, settings)] * together
    for number, (title, probability, used) in enumerate(shown):
        augmentation = Augmentation(used)
        changed = [
            augmentation(image, points, np.random.default_rng([seed, number, row]))[0]
            for row, (image, points) in enumerate(zip(images, landmarks, strict=True))
        ]
        columns.append(PreviewColumn(title, probability, changed))
    return columns
