"""Fixtures of the contract suite: every back end, and a gallery opened on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_cases import BACK_ENDS, BackEnd

from mien.galleries import Gallery


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest, tmp_path: Path) -> BackEnd:
    return BackEnd(BACK_ENDS[request.param](tmp_path))


@pytest.fixture
def gallery(back_end: BackEnd) -> Iterator[Gallery]:
    with back_end.open() as opened:
        yield opened
