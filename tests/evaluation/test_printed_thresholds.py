from __future__ import annotations

import numpy as np
import pytest

from mien.cli.evaluate_tables import shown
from mien.evaluation import ErrorRates
from mien.evaluation.printed_thresholds import rounded_threshold
from mien.evaluation.report.wording import shown as shown_in_report


def test_by_hand() -> None:
    scores = np.array([0.1, 0.30001, 0.30002, 0.5])
    assert rounded_threshold(float(np.nextafter(0.1, 1)), scores) == 0.1001
    assert rounded_threshold(0.30002, scores) == 0.30002
    assert rounded_threshold(float(np.nextafter(0.5, 1)), scores) == 0.5001
    assert rounded_threshold(0.30002, np.array([0.2, 0.30002])) == 0.3
    assert rounded_threshold(1e6 + 0.25, np.array([1e6, 1e6 + 0.25])) == 1e6 + 0.25
    tight = float(np.nextafter(0.3, 1))
    assert rounded_threshold(tight, np.array([0.3, tight])) == tight


def test_it_stays_within_bounds() -> None:
    scores = np.array([0.1, 0.9])
    assert rounded_threshold(0.123456, scores, least=0.12345, most=0.12347) == 0.12346
    assert rounded_threshold(0.123456, scores, least=0.123456, most=0.123456) == 0.123456


@pytest.mark.parametrize("seed", range(5))
def test_what_is_printed_decides_as_what_was_measured(seed: int) -> None:
    random = np.random.default_rng(seed)
    mated = random.normal(0.5, 0.1, 20000).astype(np.float32).astype(np.float64)
    non_mated = random.normal(0.1, 0.1, 20000).astype(np.float32).astype(np.float64)
    rates = ErrorRates(mated, non_mated)
    for rate in (0.1, 0.01, 0.001, 0):
        exact = rates.threshold_at_fmr(rate)
        value = rounded_threshold(exact, mated, non_mated)
        for text in (shown(value, "score"), shown_in_report(value, "score")):
            assert (rates.fmr(float(text)), rates.fnmr(float(text))) == (rates.fmr(exact), rates.fnmr(exact))
            assert len(text) < 12


def test_what_is_not_all_is_not_shown_as_all() -> None:
    assert [shown(v, "rate") for v in (1, 0.9999, 0.99996, 0.9999999, 0.5, 0, 0.0001)] == [
        "100.00 %", "99.99 %", "99.996 %", "99.99999 %", "50.00 %", "0.00 %", "0.01 %",
    ]  # fmt: skip


def test_thresholds_are_shown_to_their_last_digit() -> None:
    assert shown(0.363, "score") == shown_in_report(0.363, "score") == "0.3630"
    assert shown(0.36312345, "score") == shown_in_report(0.36312345, "score") == "0.36312345"
