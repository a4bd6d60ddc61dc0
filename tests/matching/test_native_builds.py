"""The native search compiled by itself, for this processor and, in an emulator, for 64-bit ARM."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mien.matching

NATIVE = Path(mien.matching.__file__).parent / "kernels"
SELFTEST = Path(__file__).with_name("native_selftest.c")


def build(compiler: str, target: Path, *options: str) -> Path:
    sources = [str(p) for p in sorted(NATIVE.glob("*.c")) if p.name != "module.c"]
    strict = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}"]
    subprocess.run(
        [compiler, *strict, *options, str(SELFTEST), *sources, "-o", str(target), "-pthread", "-lm"], check=True
    )
    return target


def test_the_kernels_of_this_processor_agree(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = build(compiler, tmp_path / "selftest", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    done = subprocess.run([str(program)], check=True, capture_output=True, text=True)
    assert "generic: right" in done.stdout


def test_the_neon_kernel_agrees(tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("needs gcc-aarch64-linux-gnu and qemu-user")
    program = build(compiler, tmp_path / "selftest", "-static")
    done = subprocess.run([emulator, "-cpu", "max", str(program)], check=True, capture_output=True, text=True)
    assert "neon: right" in done.stdout


WITHOUT = """
import sys, warnings
sys.modules["mien.matching._native"] = None
import numpy as np
from mien.matching import SearchIndex, kernel_names
index = SearchIndex(4, "int8")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    index.add([1, 2], [1, 2], np.eye(4)[:2])
    found = [index.search(np.eye(4), {1: "a", 2: "b"}, threshold=0.5) for _ in range(3)]
assert kernel_names() == ()
assert [[m.identity for m in matches] for matches in found[2]] == [["a"], ["b"], [], []], found
print(*[str(w.message) for w in caught], sep="\\n")
"""


def test_without_the_extension_there_is_one_warning_and_the_same_answer() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], check=True, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert "without its native search" in done.stdout
