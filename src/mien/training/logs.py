"""What a run writes down while it goes on: lines of JSON to compute with, TensorBoard to look at."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from mien.errors import OutputError

__all__ = ["RunLog", "read_log"]

_JSONL = "log.jsonl"


class RunLog:
    """The log of one run; only the first process has one.

    Args:
        folder: the run's.
        step: steps done so far; lines of later steps, which a kill left behind its last checkpoint, are dropped.

    Lines are objects with ``kind`` (``step``, ``evaluation``, ``event``), ``step`` and numbers; numbers that are not
    finite are null. TensorBoard's files are in ``tensorboard/``.

    Raises:
        OutputError: they cannot be written.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._file = folder / _JSONL
        kept = [line for line in read_log(folder) if line["step"] <= step]
        work = self._file.with_suffix(".part")
        try:
            # Whole or not at all: on a full disk, the log of what was done stays.
            work.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            os.replace(work, self._file)
            self._stream = self._file.open("a", encoding="utf-8")
            self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        except OSError as error:
            raise OutputError(f"{self._file}: cannot be written: {error.strerror or error}") from error

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line; numbers also go to TensorBoard as ``kind/name``.

        Raises:
            OutputError: it cannot be written.
        """
        finite = {name: _finite(value) for name, value in values.items()}
        try:
            self._stream.write(json.dumps({"kind": kind, "step": step, **finite}) + "\n")
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"{self._file}: cannot be written: {error.strerror or error}") from error
        for name, value in finite.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Finish both."""
        # On a full disk, what could not be written was told of when it was to be.
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._board.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; a last line that was cut off is left out."""
    file = folder / _JSONL
    if not file.is_file():
        return []
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
