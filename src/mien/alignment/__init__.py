"""From landmarks to aligned chips: one similarity transform, from the original pixels, no second detection."""

from __future__ import annotations

from mien.alignment.chips import chip_matrices, cut_chips, needed_reduction

__all__ = ["chip_matrices", "cut_chips", "needed_reduction"]
