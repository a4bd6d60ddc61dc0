"""Tables for people: on a narrow terminal some columns give way, and none is ever cut off."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

__all__ = ["table"]

# In this order columns are folded where the terminal is too narrow. The others, names, numbers and spaces, stay on
# one line; where even that is too much, the terminal breaks the lines.
_GIVE_WAY = (
    frozenset(("options", "description", "value", "detail", "tags")),
    frozenset(("image", "photo", "a", "b", "file", "identity", "who", "fact", "what int8-only would change")),
    frozenset(("time (UTC)",)),
)
# Down to its longest word, if that is no longer than this.
_LONGEST_WORD = 16
_GAP, _EDGE = 3, 2


def table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    """Rows under their headings, as text without a line break at its end.

    Folded to the width of the terminal if standard output is one; what goes to a file or another program is not folded.

    Args:
        columns: the headings.
        rows: cells on one line each; a row may be shorter than the headings.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = sys.stdout.isatty()
    widths = [_natural(name, cells) for name, cells in zip(columns, _by_column(columns, rows), strict=True)]
    folded = _folded(columns, rows, widths, Console().width) if shown else widths
    # Into memory, never to standard output itself: Output alone writes there, and tells when that fails.
    memory = io.StringIO()
    console = Console(file=memory, force_terminal=shown, width=sum(folded) + _GAP * len(folded) + _EDGE)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, width, natural in zip(columns, folded, widths, strict=True):
        made.add_column(name, overflow="fold", width=width, no_wrap=width == natural)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)
    lines = [line.rstrip() for line in memory.getvalue().splitlines()]
    return "\n".join(line for line in lines if line)


def _by_column(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[list[str]]:
    return [[row[k] for row in rows if k < len(row)] for k in range(len(columns))]


def _natural(name: str, cells: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max(cell_len(name), *map(cell_len, cells)) if cells else cell_len(name)


def _folded(columns: Sequence[str], rows: Sequence[tuple[str, ...]], widths: Sequence[int], room: int) -> list[int]:
    """The widths with which the table fits into ``room`` characters, or else the least that there are."""
    folded = list(widths)
    excess = sum(folded) + _GAP * (len(folded) - 1) + _EDGE - room
    cells = _by_column(columns, rows)
    for group in _GIVE_WAY:
        members = [k for k, name in enumerate(columns) if name in group]
        least = {k: min(folded[k], _least(columns[k], cells[k])) for k in members}
        while excess > 0:
            widest = max(members, key=lambda k: folded[k] if folded[k] > least[k] else 0, default=None)
            if widest is None or folded[widest] <= least[widest]:
                break
            folded[widest] -= 1
            excess -= 1
    return folded


def _least(name: str, cells: Sequence[str]) -> int:
    words = [word for cell in cells for word in cell.split()]
    return max(_natural(name, ()), min(_natural("", words), _LONGEST_WORD))
