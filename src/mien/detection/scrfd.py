"""SCRFD's heads (Guo et al., "Sample and computation redistribution for efficient face detection", ICLR 2022).

At each stride every cell holds two anchor points, both at its corner; the box is given as distances from that
point to its four sides, the landmarks as shifts from it, all in strides.
"""

from __future__ import annotations

import numpy as np

from mien.detection.heads import Candidates, cell_centers
from mien.errors import BadCard
from mien.types import FloatArray

__all__ = ["ScrfdHead"]

_STRIDES = (8, 16, 32)
_ANCHORS = 2
_WIDTHS = (1, 4, 10)


class ScrfdHead:
    """Reads nine outputs, known by their last axis (1 score, 4 distances, 10 shifts) and finest stride first."""

    def decode(self, outputs: dict[str, FloatArray], canvas_wh: tuple[int, int], min_score: float) -> Candidates:
        """See ``Head.decode``."""
        by_width = {w: [o for o in outputs.values() if o.ndim == 3 and o.shape[2] == w] for w in _WIDTHS}
        if len(outputs) != 9 or any(len(found) != len(_STRIDES) for found in by_width.values()):
            shapes = {name: o.shape for name, o in outputs.items()}
            raise BadCard(f"expected SCRFD's nine outputs (n, cells, 1 | 4 | 10), got {shapes}")
        for found in by_width.values():
            found.sort(key=lambda o: -o.shape[1])
        parts = []
        for k, stride in enumerate(_STRIDES):
            scores, distances, shifts = (by_width[w][k] for w in _WIDTHS)
            canvas, anchors = np.nonzero(scores[..., 0] >= np.float32(min_score))
            corner = cell_centers(anchors // _ANCHORS, canvas_wh[0] // stride, stride)
            distance = distances[canvas, anchors] * stride
            points = shifts[canvas, anchors].reshape(-1, 5, 2) * stride
            parts.append(
                Candidates(
                    canvas,
                    np.concatenate([corner - distance[:, :2], corner + distance[:, 2:]], axis=1),
                    np.clip(scores[canvas, anchors, 0], 0, 1),
                    corner[:, None] + points,
                )
            )
        return Candidates.joined(parts)
