"""How far the probabilities of a calibration can be taken at their word on some trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons
from mien.evaluation.report.drawing import Frame, Line, draw_lines
from mien.evaluation.report.svg import Plot
from mien.matching.calibration import Calibration
from mien.matching.calibration_fit import cllr, least_cllr, reliability
from mien.matching.calibration_pairs import BIN_CENTERS, ListedPairs

__all__ = ["Reliability", "measure_reliability", "reliability_plot"]

_FEWEST = 50


@dataclass(frozen=True, slots=True)
class Reliability:
    """Claimed against measured.

    Attributes:
        rows: of each bin of claimed probability that has at least 50 comparisons: its number, the mean claimed
            probability, the measured share of mated comparisons, how many comparisons; at even odds.
        cllr: cost of the log-likelihood ratios in bits.
        cllr_min: the least that any order-preserving calibration could cost on these trials.
        data: what the calibration was fitted on.
    """

    rows: tuple[tuple[int, float, float, int], ...]
    cllr: float
    cllr_min: float
    data: str

    @property
    def worst(self) -> float:
        """The greatest difference of claimed and measured probability, 0 where no bin has comparisons enough."""
        return max((abs(claimed - measured) for _, claimed, measured, _ in self.rows), default=0.0)


def measure_reliability(comparisons: Comparisons, calibration: Calibration) -> Reliability:
    """Compare what a calibration claims with what the trials show.

    Raises:
        BadInput: a score is outside -1..1, or the comparisons made are all of one kind.
        MissingExtra: scikit-learn is not installed.
    """
    made = comparisons.compared
    # Rounding of float32 leaves the score of an image with itself a hair above 1.
    scores = np.where(np.abs(made.scores) <= 1 + 1e-5, np.clip(made.scores, -1, 1), made.scores)
    images = len(np.union1d(made.left, made.right))
    counts = ListedPairs(scores, made.mated, made.left_identities, made.right_identities, images=images).counts()
    if not counts.mated_total or not counts.non_mated_total:
        raise BadInput(
            f"expected mated and non-mated comparisons, got {counts.mated_total} and {counts.non_mated_total}"
        )
    claimed = calibration.llr(BIN_CENTERS)
    rows = tuple(reliability(claimed, counts, fewest=_FEWEST))
    return Reliability(rows, cllr(claimed, counts), least_cllr(counts), calibration.facts.data)


def reliability_plot(found: Reliability) -> Plot:
    """Measured over claimed probability, with the diagonal on which they agree."""
    claimed, measured = (np.array([row[k] for row in found.rows]) for k in (1, 2))
    ends = np.array([0.0, 1.0])
    lines = [Line("measured", claimed, measured, "points"), Line("perfect", ends, ends, faint=True)]
    frame = Frame("claimed probability", "measured share of mated", x_limits=(-0.03, 1.03), y_limits=(-0.03, 1.03))
    return draw_lines(
        "reliability",
        "Reliability of probabilities",
        frame,
        lines,
        description=f"Greatest difference of claimed and measured probability {found.worst:.3f}.",
        caption=(
            f"At even odds; bins of at least {_FEWEST} comparisons. Cllr {found.cllr:.4f} bits, at best "
            f"{found.cllr_min:.4f} on these trials. The calibration was fitted on {found.data}; where these trials "
            "are part of that, they flatter it."
        ),
    )
