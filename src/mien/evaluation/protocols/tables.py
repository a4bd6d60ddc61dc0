"""Text tables as people have them: with or without a byte-order mark, separated by commas, semicolons or tabs."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadInput

__all__ = ["Table", "TableRow", "decoded", "read_table", "truth"]

_SEPARATORS = (",", ";", "\t", "|")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TRUE = frozenset(("1", "true", "yes", "y", "same", "mated", "genuine", "t"))
_FALSE = frozenset(("0", "-1", "false", "no", "n", "different", "diff", "non-mated", "impostor", "f"))


@dataclass(frozen=True, slots=True)
class TableRow:
    """A line of a table: its cells by column, and where it stands."""

    cells: Mapping[str, str]
    where: str

    def __getitem__(self, column: str) -> str:
        """The cell of a column.

        Raises:
            BadInput: it is empty.
        """
        cell = self.cells.get(column, "")
        if not cell:
            raise BadInput(f"{self.where}: expected a value in column {column!r}, got none")
        return cell

    def pair(self, columns: tuple[str, str]) -> tuple[str, str] | None:
        """Two cells; None where both are empty or the table lacks the columns."""
        if not any(self.cells.get(column) for column in columns):
            return None
        return self[columns[0]], self[columns[1]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with named columns.

    Attributes:
        columns: the names that were asked for and found.
        ignored: the names that nobody asked for.
        rows: the lines, blank ones left out.
    """

    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    rows: tuple[TableRow, ...]


def decoded(file: Path) -> str:
    """A file's text: UTF-8, or UTF-16 with a byte-order mark; the mark is taken off.

    Raises:
        BadInput: the file cannot be read or is no such text.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: expected {encoding} text, got byte {error.object[error.start]:#04x}") from error


def read_table(file: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a table whose first line names the columns; the separator is the one that tells them apart.

    Column names are compared without regard to case and surrounding space. A table without such a line is taken to have
    the columns in the order given here, if the first line has at least as many cells as are required.

    Args:
        file: the file.
        required: columns that must be there.
        optional: columns that may be there.

    Raises:
        BadInput: the file cannot be read, a column is missing or there twice, or a line has more or fewer cells than
            the first.
    """
    text = decoded(file)
    known = [*required, *optional]
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise BadInput(f"{file}: expected columns {', '.join(required)}, got an empty file")

    def split(separator: str) -> list[str]:
        return [cell.strip() for cell in next(csv.reader([first], delimiter=separator))]

    separator = max(_SEPARATORS, key=lambda s: (sum(c.lower() in known for c in split(s)), len(split(s))))
    names = [cell.lower() for cell in split(separator)]
    named = any(name in required for name in names)
    if not named:
        names = known[: len(names)]
    absent = [name for name in required if name not in names]
    if absent:
        raise BadInput(
            f"{file}: expected columns {', '.join(required)} in the first line, separated by comma, semicolon or tab; "
            f"missing {', '.join(absent)}, got {first[:200]!r}"
        )
    if len({name for name in names if name}) < len([name for name in names if name]):
        raise BadInput(f"{file}: expected each column once, got {first[:200]!r}")
    rows: list[TableRow] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if named and not rows and [cell.strip().lower() for cell in cells] == names:
                named = False
                continue
            where = f"{file}, line {reader.line_num}"
            if len(cells) != len(names):
                raise BadInput(f"{where}: expected {len(names)} cells, got {len(cells)}")
            rows.append(TableRow({n: c.strip() for n, c in zip(names, cells, strict=True) if n in known}, where))
    except csv.Error as error:
        raise BadInput(f"{file}, line {reader.line_num}: is no table: {error}") from error
    return Table(tuple(n for n in names if n in known), tuple(n for n in names if n and n not in known), tuple(rows))


def truth(row: TableRow, column: str) -> bool:
    """A cell that says yes or no.

    Raises:
        BadInput: it says neither.
    """
    word = row[column].lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise BadInput(f"{row.where}: expected 1 or 0, true or false, yes or no in column {column!r}, got {word!r}")
