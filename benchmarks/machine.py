"""The machine under the benchmark: which cores to use, and what it is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

__all__ = ["busy_seconds", "describe_machine", "use_cores"]


def use_cores(count: int) -> None:
    """Keep this process and the ones it starts on ``count`` cores, where the system can do so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def busy_seconds() -> float:
    """Processor time that all processes together have taken on the cores in use, since the machine started."""
    cores = psutil.cpu_times(percpu=True)
    used = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(cores))
    return float(sum(sum(cores[core]) - cores[core].idle - getattr(cores[core], "iowait", 0.0) for core in used))


def describe_machine() -> dict[str, str]:
    """Processor, vector instructions, cores in use, load and Python, as far as the system tells."""
    facts = {"python": platform.python_version(), "system": platform.platform(), "cores": str(os.cpu_count())}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        text = cpuinfo.read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in fields.items()}
        flags = set(named.get("flags", "").split())
        facts["processor"] = named.get("model name", "unknown")
        facts["vectors"] = " ".join(flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_bf16") if flag in flags)
    if hasattr(os, "getloadavg"):
        facts["load at start"] = f"{os.getloadavg()[0]:.2f}"
    return facts
