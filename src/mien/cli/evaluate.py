"""``mien evaluate``: measured error rates, with intervals."""

from __future__ import annotations

import typer

from mien.cli.evaluate_pairs import compare, pairs, templates
from mien.cli.evaluate_people import identify, overlap
from mien.cli.usage import PlainCommand

__all__ = ["evaluate"]

evaluate = typer.Typer(
    name="evaluate",
    no_args_is_help=True,
    help="Measure error rates on your own or well-known sets, with intervals.",
)
for _function in (pairs, identify, templates, overlap, compare):
    evaluate.command(cls=PlainCommand)(_function)
