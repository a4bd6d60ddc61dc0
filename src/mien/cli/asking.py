"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import typer

__all__ = ["ask"]


def ask(question: str) -> None:
    """Go on if the answer is yes.

    Raises:
        typer.Abort: it is no.
        typer.BadParameter: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter("give --yes where nobody can be asked")
    if not typer.confirm(question, err=True):
        raise typer.Abort
