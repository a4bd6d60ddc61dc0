"""What a detection network's outputs mean: anchor-free heads at several strides to boxes and landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.types import FloatArray

__all__ = ["Candidates", "Head", "cell_centers"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes above the score, before suppression, of a batch of canvases.

    Attributes:
        canvas: ``(n,)`` which canvas of the batch each belongs to.
        xyxy: ``(n, 4) float32`` in canvas pixels.
        scores: ``(n,) float32``.
        landmarks: ``(n, 5, 2) float32`` in canvas pixels.
    """

    canvas: NDArray[np.intp]
    xyxy: FloatArray
    scores: FloatArray
    landmarks: FloatArray

    @classmethod
    def joined(cls, parts: list[Candidates]) -> Candidates:
        """The candidates of several strides as one."""
        return cls(
            np.concatenate([p.canvas for p in parts]),
            np.concatenate([p.xyxy for p in parts]),
            np.concatenate([p.scores for p in parts]),
            np.concatenate([p.landmarks for p in parts]),
        )


class Head(Protocol):
    """Reads one family of detection networks."""

    def decode(self, outputs: dict[str, FloatArray], canvas_wh: tuple[int, int], min_score: float) -> Candidates:
        """Candidates of at least ``min_score`` from the network's outputs on canvases of ``canvas_wh``.

        Raises:
            BadCard: the outputs are not those of this family.
        """
        ...


def cell_centers(cells: NDArray[np.intp], columns: int, stride: int) -> FloatArray:
    """``(n, 2) float32`` x, y in canvas pixels of the grid cells with these row-major numbers."""
    return np.stack([cells % columns, cells // columns], axis=1).astype(np.float32) * stride
