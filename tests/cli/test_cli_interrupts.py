from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from mien.cli.interrupts import Interruption

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")


def _ask() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_no_more_is_handed_out_after_the_first(capfd: pytest.CaptureFixture[str]) -> None:
    taken: list[int] = []
    with Interruption("templates") as stop:
        for item in stop.until_asked(range(5)):
            taken.append(item)
            if item == 2:
                _ask()
    assert taken == [0, 1, 2]
    assert "stopping after the templates in hand" in capfd.readouterr().err


def test_what_was_being_made_when_it_came_is_not_lost() -> None:
    made: list[int] = []

    def blocks() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 2:
                _ask()
            yield number

    with Interruption() as stop:
        assert list(stop.until_asked(blocks())) == made == [0, 1, 2]


def test_asked_before_the_first_item() -> None:
    with Interruption() as stop:
        _ask()
        assert list(stop.until_asked(range(3))) == []
        with pytest.raises(KeyboardInterrupt):
            _ask()
