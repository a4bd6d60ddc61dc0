"""What commands print: JSON lines or a table on standard output; errors, notes and progress on standard error."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mien.cli.records import Record
from mien.cli.tables import table
from mien.errors import MienError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "printable"]


def printable(text: str) -> str:
    """``text`` on one line: line breaks, control characters and undecodable bytes as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class Output:
    """Where a command's results and errors go.

    Args:
        json_lines: print JSON lines instead of a table.
        debug: print the traceback of errors.

    Attributes:
        failed: whether a failure was reported.
    """

    def __init__(self, json_lines: bool, debug: bool) -> None:
        self.json_lines = json_lines
        self.failed = False
        self._debug = debug
        self._columns: tuple[str, ...] = ()
        self._rows: list[tuple[str, ...]] = []
        self._late: list[str] = []
        self._bar: Console | None = None
        self._lost = False

    def columns(self, *names: str) -> None:
        """Name the columns of the table for people."""
        self._columns = names

    def result(self, record: Record, *rows: tuple[str, ...]) -> None:
        """Print a result now as a JSON line, or keep its rows for the table.

        Raises:
            OutputError: standard output cannot be written.
        """
        if self.json_lines:
            # ASCII alone: every line break, and every byte that is no text, is an escape.
            self._write(json.dumps(record))
        else:
            self._rows += [tuple(printable(cell) for cell in row) for row in rows]

    def say(self, text: str) -> None:
        """Print a sentence on standard output, for people alone."""
        if not self.json_lines:
            self._print_table()
            self._write(text)

    def failure(self, about: Record, error: MienError, *, late: bool = False) -> None:
        """Report what failed and why; the command's exit code will be 1.

        Args:
            about: which input: ``image`` and the like.
            error: why.
            late: for people, hold the line back until the command ends.
        """
        self._report(about, error.code, error.message, error, late)

    def crash(self, error: Exception) -> None:
        """Report an error that no one foresaw."""
        hint = "" if self._debug else "; --debug shows where"
        self._report({}, "internal", f"internal error {type(error).__name__}: {error}{hint}", error, False)

    def note(self, text: str) -> None:
        """Tell people something on standard error."""
        self._complain(printable(text))

    @contextmanager
    def progress(self, label: str, total: int | None, *, unit: str = "images") -> Iterator[Callable[[int], None]]:
        """A bar on standard error inside the block, if that is a terminal; gives a function to advance it."""
        done = 0
        with self.tracking(label, unit=unit, total=total) as tell:

            def advance(step: int) -> None:
                nonlocal done
                done += step
                tell(done, total)

            yield advance

    @contextmanager
    def tracking(
        self, label: str, *, unit: str, total: int | None = None
    ) -> Iterator[Callable[[int, int | None], None]]:
        """As ``progress``, for work that tells how much of how much is done."""
        # A bar and JSON lines on one terminal would overwrite each other.
        if not sys.stderr.isatty() or (self.json_lines and sys.stdout.isatty()):
            yield lambda _done, _total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import DownloadColumn as Bytes

        count = Bytes() if unit == "bytes" else MofNCompleteColumn()
        console = Console(stderr=True)
        columns = (TextColumn(label), BarColumn(), count, TextColumn("" if unit == "bytes" else unit))
        # Standard output stays as it is: redirected, its lines would end up on standard error.
        with Progress(
            *columns,
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as bar:
            task = bar.add_task(label, total=total)
            self._bar = console
            try:
                yield lambda done, of: bar.update(task, completed=done, total=of)
            finally:
                self._bar = None

    def close(self) -> None:
        """Print what is left: the table, and the failures that were held back."""
        self._print_table()
        for line in self._late:
            self._complain(line)
        self._late = []

    def _report(self, about: Record, code: str, message: str, error: Exception, late: bool) -> None:
        self.failed = True
        if self._debug:
            traceback.print_exception(type(error), error, error.__traceback__)
        if self.json_lines and not self._lost:
            self._write(json.dumps({**about, "error": {"code": code, "message": message}}))
            return
        where = next((str(about[key]) for key in ("image", "name") if key in about), "")
        prefix = f"{printable(where)}: " if where and where not in message else ""
        line = f"error: {code}: {prefix}{printable(message)}"
        if late:
            self._late.append(line)
        else:
            self._complain(line)

    def _complain(self, line: str) -> None:
        if self._bar is not None:
            self._bar.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _write(self, line: str) -> None:
        """A line on standard output; after a failure that is gone for good."""
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError as error:
            self._lost = True
            # Python writes what is left in its buffer when it ends, and would complain of the same error again.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputError(f"cannot write standard output: {error.strerror}") from error

    def _print_table(self) -> None:
        rows, self._rows = self._rows, []
        if rows and not self._lost:
            self._write(table(self._columns, rows))
