"""YuNet's heads (Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector", MIR 2023).

At each stride a cell gives a class score and an objectness, whose geometric mean is the score; the box's
center as a shift from the cell in strides and its size as a logarithm of strides; five landmarks as shifts.
"""

from __future__ import annotations

import numpy as np

from mien.detection.heads import Candidates, cell_centers
from mien.errors import BadCard
from mien.types import FloatArray

__all__ = ["YuNetHead"]

_STRIDES = (8, 16, 32)
# Every output passes through a sigmoid, yet float rounding can carry one past 1.
_TOP = np.float32(1.0)


class YuNetHead:
    """Reads ``cls_S``, ``obj_S``, ``bbox_S`` and ``kps_S`` for the strides S of 8, 16 and 32."""

    def decode(self, outputs: dict[str, FloatArray], canvas_wh: tuple[int, int], min_score: float) -> Candidates:
        """See ``Head.decode``."""
        parts = []
        for stride in _STRIDES:
            try:
                kind, objectness, boxes, points = (outputs[f"{n}_{stride}"] for n in ("cls", "obj", "bbox", "kps"))
            except KeyError as error:
                raise BadCard(f"expected YuNet's outputs, {error} is missing in {sorted(outputs)}") from error
            product = np.clip(kind[..., 0], 0, _TOP) * np.clip(objectness[..., 0], 0, _TOP)
            canvas, cells = np.nonzero(product >= np.float32(min_score) ** 2)
            box, shifts = boxes[canvas, cells], points[canvas, cells].reshape(-1, 5, 2)
            corner = cell_centers(cells, canvas_wh[0] // stride, stride)
            center = corner + box[:, :2] * stride
            half = np.exp(box[:, 2:]) * (stride / 2)
            parts.append(
                Candidates(
                    canvas,
                    np.concatenate([center - half, center + half], axis=1),
                    np.sqrt(product[canvas, cells]),
                    corner[:, None] + shifts * stride,
                )
            )
        return Candidates.joined(parts)
