"""What the gallery tests share: the back ends of the contract suite, and templates to enroll."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.galleries import Gallery, open_gallery
from mien.types import Templates

SPACE = "test@00000000"

BACK_ENDS = ["memory:", "sqlite:///{folder}/people.db"]
"""Every back end; a new one belongs in this list and nowhere else."""


@dataclass(frozen=True)
class BackEnd:
    """One kind of gallery, by its URL."""

    url: str

    def open(self) -> Gallery:
        return open_gallery(self.url)


def faces(count: int, seed: int = 0, dimension: int = 16, space: str = SPACE) -> Templates:
    """Templates of random direction, the same for the same seed."""
    raw = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return Templates.normalized(raw, space)
