"""The machine under the benchmark: which cores to use, and how busy they are."""

from __future__ import annotations

import os

import psutil

__all__ = ["busy_seconds", "use_cores"]


def use_cores(count: int) -> None:
    """Keep this process and the ones it starts on ``count`` cores, where the system can do so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def busy_seconds() -> float:
    """Processor time that all processes together have taken on the cores in use, since the machine started."""
    cores = psutil.cpu_times(percpu=True)
    used = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(cores))
    return float(sum(sum(cores[core]) - cores[core].idle - getattr(cores[core], "iowait", 0.0) for core in used))
