"""``mien serve``: the API and the web console."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.command import command
from mien.cli.options import Tuning
from mien.cli.output import Output

if TYPE_CHECKING:
    from mien.server.serving import Announcement

__all__ = ["DataOption", "serve"]

_LISTENING = "Where it listens"

DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default="mien-server",
        help="Folder of the server's own database: keys, audit log, jobs; private to its owner.",
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class Listening:
    """How the server is reached; what is not given comes from ``MIEN_SERVER_*`` variables or the defaults."""

    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            show_default="127.0.0.1",
            rich_help_panel=_LISTENING,
            help="Address to listen on; any that other machines can reach needs keys.",
        ),
    ] = None
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, show_default="8080", rich_help_panel=_LISTENING, help="Port to listen on; 0 for any."
        ),
    ] = None
    tls_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=_LISTENING, help="Certificate (PEM); the server then speaks TLS."),
    ] = None
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel=_LISTENING, help="The certificate's key (PEM).")
    ] = None
    trusted_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-host",
            metavar="NAME",
            show_default=False,
            rich_help_panel=_LISTENING,
            help="A name by which requests may call the server; may be given several times.",
        ),
    ] = None
    require_keys: Annotated[
        bool | None,
        typer.Option(
            "--require-keys/--no-require-keys",
            show_default=False,
            rich_help_panel=_LISTENING,
            help="Whether requests need a key; by default where other machines can reach the server.",
        ),
    ] = None


@command
def serve(
    output: Output,
    listening: Listening,
    tuning: Tuning,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="URL",
            show_default="people.db in the data folder",
            help="Where the galleries are, without a gallery's name.",
        ),
    ] = None,
    data: DataOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="1", help="Processes that answer requests.")
    ] = None,
    rate_per_minute: Annotated[
        float | None,
        typer.Option("--rate", min=0, show_default="6000", help="Requests a minute for each key; 0 for no limit."),
    ] = None,
    console: Annotated[
        bool | None, typer.Option("--console/--no-console", show_default=False, help="With or without the web console.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the console in a browser.")] = False,
) -> None:
    """Serve the API and the web console until Ctrl-C or SIGTERM.

    Requests under way are finished first. Without further options the server is reached from this machine alone and
    needs no keys; for others, make a key first (mien keys create).

    Example: mien serve

    Example: mien serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem --gallery postgresql:///people
    """
    from mien.server import ServerSettings
    from mien.server.serving import serve as serve_until_stopped

    given: dict[str, Any] = {field.name: getattr(listening, field.name) for field in dataclasses.fields(listening)}
    given |= {"gallery": gallery, "data": data, "workers": workers}
    given |= {"rate_per_minute": rate_per_minute, "console": console}
    settings = ServerSettings(**{name: value for name, value in given.items() if value is not None})
    recognizer = tuning.recognizer()

    def announce(found: Announcement) -> None:
        output.result(dataclasses.asdict(found))
        for line in _told(found):
            output.say(line)
        if open_browser and settings.console:
            _open(found.url)

    serve_until_stopped(settings, recognizer.settings, announce)


def _told(found: Announcement) -> list[str]:
    """The announcement in words."""
    keys = (
        "every request needs a key" if found.keys_needed else "no keys needed, and none but this machine can reach it"
    )
    lines = [
        f"mien serves at {found.url}",
        f"galleries: {found.gallery}",
        f"access: {keys}",
    ]
    if not found.keys:
        lines.append(f"to make a key: mien keys create NAME --scope admin --data {found.data}")
    if not found.loopback and not found.tls:
        lines.append("warning: without TLS, keys and faces can be read on their way; see docs/security.md")
    return [*lines, "Ctrl-C stops it"]


def _open(url: str) -> None:
    """Open a browser where there is a screen for one; text browsers would take over the terminal."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return
    import webbrowser

    webbrowser.open(url)
