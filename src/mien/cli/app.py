"""The ``mien`` program: all commands in one Typer application."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mien.cli.bench import bench
from mien.cli.calibrate import calibrate
from mien.cli.classify import classify
from mien.cli.data import data_app
from mien.cli.demo import demo
from mien.cli.detect import detect
from mien.cli.embed import embed
from mien.cli.enroll import enroll
from mien.cli.evaluate import evaluate
from mien.cli.export import export
from mien.cli.gallery import gallery
from mien.cli.identify import identify
from mien.cli.keys import keys
from mien.cli.models import models
from mien.cli.quality import quality
from mien.cli.serve import serve
from mien.cli.train import train
from mien.cli.usage import PlainCommand
from mien.cli.verify import verify

__all__ = ["app", "main"]

app = typer.Typer(
    name="mien",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (demo, detect, verify, enroll, identify, classify, quality, embed, calibrate, bench, export, serve):
    app.command(cls=PlainCommand)(_command)
app.add_typer(evaluate)
app.add_typer(models)
app.add_typer(gallery)
app.add_typer(data_app)
app.add_typer(train)
app.add_typer(keys)


def _print_version(wanted: bool) -> None:
    if wanted:
        from mien._version import __version__

        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _describe(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Find, compare, enroll and identify faces, on your own machine.

    Start with: mien demo

    Exit codes: 0 everything was handled, 1 some input failed and its line says why, 2 wrong usage, 130 interrupted,
    141 the reader of the output left (as with | head).
    """


def main() -> None:
    """Run the command line with the process's arguments; ends the process with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A file name need not be valid text, and a terminal need not know every character.
            reconfigure(errors="backslashreplace")
    app()
