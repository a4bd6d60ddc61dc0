"""How the scores of mated and non-mated comparisons are spread: what the console shows behind a score.

A file a space holds the counts of the very comparisons that mien's own calibration of that space was fitted on.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TypedDict

from mien.matching.calibration import Calibration

__all__ = ["Histograms", "histograms_of"]

_FOLDER = Path(__file__).resolve().parent


class Histograms(TypedDict):
    """Counts of scores.

    Attributes:
        edges: ``k + 1`` rising scores, the bins' borders.
        mated: ``k`` counts of scores of two images of one person; what lies beyond the edges is in the outermost bins.
        non_mated: ``k`` counts of scores of images of two people.
    """

    edges: list[float]
    mated: list[int]
    non_mated: list[int]


def histograms_of(calibration: Calibration | None) -> Histograms | None:
    """The scores that a calibration was fitted on; None if it is not one of mien's own."""
    if calibration is None:
        return None
    return _read().get((calibration.space, calibration.facts.data))


@functools.cache
def _read() -> dict[tuple[str, str], Histograms]:
    """All files, by space and data."""
    files = {}
    for path in sorted(_FOLDER.glob("*.json")):
        held = json.loads(path.read_text(encoding="utf-8"))
        key = (held.pop("space"), held.pop("data"))
        files[key] = Histograms(edges=held["edges"], mated=held["mated"], non_mated=held["non_mated"])
    return files
