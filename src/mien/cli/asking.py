"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import typer

from mien.cli.output import printable

__all__ = ["ask"]


def ask(question: str) -> None:
    """Go on if the answer is yes; Ctrl-C interrupts the command as it does elsewhere.

    Raises:
        typer.Abort: it is no, or nothing.
        typer.BadParameter: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter("give --yes where nobody can be asked")
    answer = None
    while answer not in ("", "y", "yes", "n", "no"):
        # Not typer.confirm: it makes one exception of Ctrl-C and of no.
        sys.stderr.write(f"{printable(question)} [y/N]: ")
        sys.stderr.flush()
        try:
            answer = sys.stdin.readline().strip().lower()
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            raise
    if answer not in ("y", "yes"):
        raise typer.Abort
