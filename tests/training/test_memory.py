from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from mien.training.backbones import build_backbone
from mien.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
torch.set_num_threads(1)
network = build_backbone("mobilefacenet", dimension=32)
images = torch.randn(16, 3, 112, 112)
for step in range(5):
    if step == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(images).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_a_step_asks_for_few_new_pages() -> None:
    faults = {}
    for mode in ("keep", "usual"):
        command = [sys.executable, "-c", SCRIPT, mode]
        faults[mode] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert faults["keep"] * 5 < faults["usual"]
