from __future__ import annotations

from itertools import pairwise

import pytest

from mien.training.schedules import rate_at
from mien.training.settings import OptimizerSettings


@pytest.mark.parametrize("schedule", ["cosine", "polynomial", "step", "constant"])
def test_the_rate_rises_to_its_highest_in_the_warmup(schedule: str) -> None:
    settings = OptimizerSettings(rate=0.2, warmup=0.1, schedule=schedule)  # type: ignore[arg-type]
    rates = [rate_at(settings, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[9] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(0.2)
    assert all(before >= after - 1e-12 for before, after in pairwise(rates[9:]))


def test_cosine_and_polynomial_end_at_the_last_rate() -> None:
    for schedule, half in (("cosine", 0.55), ("polynomial", 0.325)):
        settings = OptimizerSettings(rate=1.0, warmup=0, schedule=schedule, last_rate=0.1)  # type: ignore[arg-type]
        assert rate_at(settings, 100, 101) == pytest.approx(0.1)
        assert rate_at(settings, 50, 101) == pytest.approx(half)


def test_steps_fall_at_the_milestones() -> None:
    settings = OptimizerSettings(rate=1.0, warmup=0, schedule="step", milestones=(0.5, 0.75), factor=0.1)
    assert [rate_at(settings, step, 100) for step in (0, 49, 50, 74, 75, 99)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_one_step_without_warmup() -> None:
    assert rate_at(OptimizerSettings(rate=0.3, warmup=0), 0, 1) == pytest.approx(0.3)
