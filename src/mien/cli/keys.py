"""``mien keys``: who may call a server."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.asking import ask
from mien.cli.command import command
from mien.cli.output import Output
from mien.cli.records import Record
from mien.cli.serve import DataOption
from mien.cli.usage import PlainCommand
from mien.errors import BadInput

if TYPE_CHECKING:
    from mien.server.keys import Key, KeyRing

__all__ = ["keys"]

_DAY_S = 86_400.0
_MOST_DAYS = 36_500

keys = typer.Typer(name="keys", no_args_is_help=True, help="Keys of a server: make, list and revoke them.")


@keys.command(cls=PlainCommand)
@command
def create(
    output: Output,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Whose key it is, for the logs.")],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="read|identify|enroll|admin", show_default=False, help="What it allows; may be given several times."
        ),
    ],
    days: Annotated[
        float | None, typer.Option(show_default=False, help="After how many days it ends; by default never.")
    ] = None,
    gallery: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default=False, help="A gallery that it opens; by default all."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Make a key. It is printed this once; the server keeps no more than a hash of it.

    Example: mien keys create reception --scope read --scope identify --days 90
    """
    if days is not None and not 0 < days <= _MOST_DAYS:
        raise BadInput(f"days: expected more than 0 and at most {_MOST_DAYS}, got {days:g}")
    with _opened(data) as ring:
        key, secret = ring.create(name, scope, None if days is None else days * _DAY_S, gallery)
    output.columns("id", "name", "scopes", "galleries", "expires", "state")
    output.result({**_record(key), "secret": secret}, _row(key))
    output.say(secret)
    if not output.json_lines:
        output.note("keep it safe: it is shown this once")


@keys.command("list", cls=PlainCommand)
@command
def list_(output: Output, data: DataOption = None) -> None:
    """List the keys, those that were revoked or have expired too.

    Example: mien keys list
    """
    output.columns("id", "name", "scopes", "galleries", "expires", "state")
    if not _is_there(data):
        output.note(f"{_folder(data)}: no server's database here yet, so there are no keys")
        return
    with _opened(data) as ring:
        for key in ring.list():
            output.result(_record(key), _row(key))


@keys.command(cls=PlainCommand)
@command
def revoke(
    output: Output,
    key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The key's id, as in the list.")],
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End a key for good; running servers refuse it within seconds.

    Example: mien keys revoke k3v9q0x2m1ab --yes
    """
    if not _is_there(data):
        raise BadInput(f"{_folder(data)}: expected the data folder of a server, found no database in it")
    with _opened(data) as ring:
        if not yes:
            ask(f"Revoke the key {key_id}?")
        key = ring.revoke(key_id)
    output.result(_record(key))
    output.say(f"revoked {key.id} ({key.name})")


def _folder(data: Path | None) -> Path:
    from mien.server import ServerSettings

    return ServerSettings().data if data is None else data


def _is_there(data: Path | None) -> bool:
    """Whether there is a server's database: who only looks makes none."""
    from mien.server.state import FILE_NAME

    return (_folder(data) / FILE_NAME).exists()


@contextmanager
def _opened(data: Path | None) -> Iterator[KeyRing]:
    """The keys of the server whose data folder that is."""
    from mien.server import ServerSettings
    from mien.server.serving import require_extra

    require_extra()
    from mien.server.services import open_keys

    settings = ServerSettings() if data is None else ServerSettings(data=data)
    ring, state = open_keys(settings)
    try:
        yield ring
    finally:
        state.close()


def _record(key: Key) -> Record:
    return {**dataclasses.asdict(key), "state": _state(key)}


def _row(key: Key) -> tuple[str, ...]:
    expires = "never" if key.expires is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(key.expires))
    galleries = "all" if key.galleries is None else ", ".join(key.galleries)
    return (key.id, key.name, ", ".join(key.scopes), galleries, expires, _state(key))


def _state(key: Key) -> str:
    if key.works:
        return "in use"
    return "revoked" if key.revoked is not None else "expired"
