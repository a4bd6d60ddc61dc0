"""The learning rate of each step."""

from __future__ import annotations

import math

from mien.training.settings import OptimizerSettings

__all__ = ["rate_at"]

_POWER = 2


def rate_at(settings: OptimizerSettings, step: int, steps: int) -> float:
    """The learning rate of a step.

    It rises linearly in the warm-up, from ``rate / w`` at the first of its w steps to ``rate`` at the last, and then
    falls as ``schedule`` says: ``cosine`` (Loshchilov and Hutter 2017) and ``polynomial`` to ``rate * last_rate`` at
    the last step.

    Args:
        settings: the highest rate, the warm-up, the schedule.
        step: 0 .. steps - 1.
        steps: of the whole run.
    """
    warmup = round(settings.warmup * steps)
    if step < warmup:
        return settings.rate * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - 1 - warmup)
    if settings.schedule == "step":
        return float(settings.rate * settings.factor ** sum(step >= mark * steps for mark in settings.milestones))
    if settings.schedule == "constant":
        return settings.rate
    left = (1 + math.cos(math.pi * share)) / 2 if settings.schedule == "cosine" else (1 - share) ** _POWER
    return float(settings.rate * (settings.last_rate + (1 - settings.last_rate) * left))
