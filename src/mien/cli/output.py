"""What commands print: JSON lines or a table on standard output; errors, notes and progress on standard error."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mien.cli.records import Record
from mien.errors import MienError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "printable"]

# A table that goes to a file or another program is not folded to the width of a terminal.
_FILE_WIDTH = 10_000

# On a narrow terminal these columns give way; the others, numbers and words, stay on one line.
_FOLDED = frozenset(("image", "photo", "a", "b", "file", "identity", "who", "description", "fact", "value", "space"))


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
        # A bar and JSON lines on one terminal would overwrite each other.
        if not sys.stderr.isatty() or (self.json_lines and sys.stdout.isatty()):
            yield lambda _count: None
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
                yield lambda step: bar.advance(task, step)
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
            self._write(_table(self._columns, rows))


def _table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name not in _FOLDED)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return "\n".join(line for line in lines if line)
