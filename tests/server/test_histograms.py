"""The histograms behind a score belong to the calibrations that come with mien."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mien.matching.calibration as calibration_module
from mien.matching.calibration import Calibration
from mien.server.histograms import histograms_of

SHIPPED = sorted((Path(calibration_module.__file__).parent / "calibrations").glob("*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_they_count_what_the_calibration_was_fitted_on(path: Path) -> None:
    calibration = Calibration.load(path)
    found = histograms_of(calibration)
    assert found is not None
    edges = np.array(found["edges"])
    mated, others = np.array(found["mated"]), np.array(found["non_mated"])
    assert len(mated) == len(others) == len(edges) - 1
    assert (np.diff(edges) > 0).all()
    assert mated.sum() == calibration.facts.mated
    assert others.sum() == calibration.facts.non_mated


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("fmr", [1e-2, 1e-3, 1e-4])
def test_they_agree_with_the_thresholds(path: Path, fmr: float) -> None:
    """The share of non-mated scores above the borders around a threshold encloses its false match rate."""
    calibration = Calibration.load(path)
    found = histograms_of(calibration)
    assert found is not None
    others = np.array(found["non_mated"])
    above = np.append(np.cumsum(others[::-1])[::-1], 0) / others.sum()
    border = np.searchsorted(found["edges"], calibration.threshold_at(fmr))
    assert above[border] <= fmr * 1.02
    assert above[border - 1] >= fmr * 0.98


def test_a_calibration_of_ones_own_has_none() -> None:
    shipped = Calibration.load(SHIPPED[0])
    assert histograms_of(replace(shipped, facts=replace(shipped.facts, data="our own doors"))) is None
    assert histograms_of(replace(shipped, space="other@00000000")) is None
    assert histograms_of(None) is None
