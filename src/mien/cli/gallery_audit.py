"""``mien gallery audit``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.names import checked_identity
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.errors import GalleryError

if TYPE_CHECKING:
    from mien.galleries import Gallery

__all__ = ["audit"]


@command
def audit(
    output: Output,
    gallery: GalleryUrlOption,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From this time on, such as 2026-01-31 or 2026-01-31T08:00+01:00."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Up to this time, and not with it.")] = None,
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="What was done to this identity alone.")
    ] = None,
) -> None:
    """Print the audit log, oldest first: who did what to whom, and when (UTC).

    The log holds numbers and no names: a name is shown as long as its identity is enrolled. A time without an offset is
    taken for UTC.

    Example: mien gallery audit --gallery sqlite:///people.db --since 2026-01-31
    """
    from mien.galleries import open_gallery
    from mien.galleries.upkeep import Audited

    first, last = _seconds(since, "--since"), _seconds(until, "--until")
    identity = None if identity is None else checked_identity(identity)
    output.columns("time (UTC)", "actor", "action", "identity", "number", "template", "detail")
    with open_gallery(gallery, create=False) as people:
        if not isinstance(people, Audited):
            raise GalleryError(f"{people.url}: this kind of gallery has no audit log")
        empty = True
        for row in people.audit_log(since=first, until=last, identity=identity):
            empty = False
            time = datetime.fromtimestamp(row.at, timezone.utc)
            at = time.isoformat(timespec="milliseconds")
            record = {
                "time": at,
                "actor": row.actor,
                "action": row.action,
                "identity": row.identity,
                "identity_id": row.identity_id,
                "template_id": row.template_id,
                "detail": row.detail,
            }
            cells = (row.identity, row.identity_id, row.template_id)
            shown = ("" if cell is None else str(cell) for cell in cells)
            told = time.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
            output.result(record, (told, row.actor, row.action, *shown, row.detail))
        if empty:
            output.note(_why_empty(people, identity, first is not None or last is not None))


def _why_empty(people: Gallery, identity: str | None, some_time: bool) -> str:
    """Why there is nothing to print of a log."""
    if people.options.audit == "off":
        return f"the audit of {people.name} is off: nothing is logged"
    if identity is not None and identity not in dict(people.identities()):
        return f"nobody named {identity} is enrolled in {people.name}, and the log holds no names but of those who are"
    about = "" if identity is None else f" about {identity}"
    return f"the log of {people.name} has nothing{about}{' from that time' if some_time else ''}"


def _seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        # Before Python 3.11 a Z is not understood.
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected a time such as 2026-01-31T08:00, got {text!r}", param_hint=option
        ) from error
    return (time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)).timestamp()
