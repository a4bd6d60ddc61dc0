"""On what and with what something was measured: a figure without that is worth little."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe_machine", "describe_versions", "usable_cores"]

_VECTORS = ("avx2", "avx512f", "avx512_vnni", "amx_bf16", "asimd")
_PACKAGES = ("mien", "numpy", "opencv-python-headless", "onnxruntime", "openvino")


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, str]:
    """Processor, vector instructions, cores, memory, load, system and Python, as far as the system tells."""
    facts = {
        "processor": platform.processor() or platform.machine(),
        "cores": f"{usable_cores()} of {os.cpu_count()}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        text = cpuinfo.read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in fields.items()}
        flags = set((named.get("flags") or named.get("Features") or "").split())
        facts["processor"] = named.get("model name", facts["processor"])
        facts["vectors"] = " ".join(flag for flag in _VECTORS if flag in flags)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
    if hasattr(os, "getloadavg"):
        facts["load at start"] = f"{os.getloadavg()[0]:.2f}"
    return facts


def describe_versions() -> dict[str, str]:
    """The versions of mien and of what its figures depend on; what is not installed is left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
