"""A run's folder on a disk that gets full: what was there before stays, and the error is the project's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mien.errors import OutputError
from mien.training.data.loader import Batch
from mien.training.logs import RunLog, read_log
from mien.training.ranks import Ranks
from mien.training.runs import RunFolder
from mien.training.settings_files import read_settings, settings_from, write_settings

resource = pytest.importorskip("resource")
SETTINGS = settings_from({"data": {"packs": ["faces"]}, "length": {"steps": 4}})


@contextmanager
def full_disk(largest_file: int) -> Iterator[None]:
    """A limit on the size of files stands for the disk: writing fails in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_the_log_of_what_was_done_outlives_a_full_disk(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for step in range(1, 9):
            log.write("step", step, {"loss": 1.0})
    whole = read_log(tmp_path)
    size = (tmp_path / "log.jsonl").stat().st_size
    with full_disk(size - 10), pytest.raises(OutputError, match=r"log\.jsonl: cannot be written: File too large"):
        RunLog(tmp_path, 8)
    assert read_log(tmp_path) == whole
    told = r"log\.jsonl: cannot be written: File too large"
    with full_disk(size + 10), pytest.raises(OutputError, match=told), RunLog(tmp_path, 8) as log:
        log.write("step", 9, {"loss": 1.0})
    assert read_log(tmp_path) == whole


def test_what_else_is_written_says_when_it_cannot_be(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", SETTINGS, Ranks(), resume=False)
    rows = torch.zeros(2, dtype=torch.int64)
    batch = Batch(torch.zeros(2, 3, 112, 112, dtype=torch.uint8), rows, rows, rows, rows.bool())
    with folder, full_disk(10):
        with pytest.raises(OutputError, match=r"skipped\.jsonl: cannot be written: File too large"):
            folder.note_skipped([(0, 1, "no image")])
        with pytest.raises(OutputError, match=r"result\.json: cannot be written: File too large"):
            folder.finish({"steps": 4})
        with pytest.raises(OutputError, match=r"the best weights cannot be written: (File too large|.*disk)"):
            folder.keep_best({"weight": torch.zeros(100_000)}, 1, {})
        told = folder.keep_batch(3, batch, {"loss": float("nan")})
        assert told.startswith("step 3: the loss is not finite (loss nan); the batch could not be kept in ")


def test_settings_are_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    write_settings(SETTINGS, file)
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        write_settings(settings_from({"data": {"packs": ["faces"]}, "length": {"steps": 5}}), file)
    assert read_settings(file).length.steps == 4
