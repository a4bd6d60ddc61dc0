"""``mien gallery audit``, ``check``, ``compact`` and ``rotate-key``."""

from __future__ import annotations

import dataclasses
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.options import GalleryUrlOption, ThresholdOption
from mien.cli.output import Output
from mien.errors import BadGallery, GalleryError

if TYPE_CHECKING:
    from mien.galleries import Gallery

__all__ = ["audit", "check", "compact", "rotate_key"]


def _cannot(gallery: Gallery, what: str) -> GalleryError:
    return GalleryError(f"{gallery.url}: this kind of gallery {what}")


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
    output.columns("time", "actor", "action", "identity", "number", "template", "detail")
    with open_gallery(gallery, create=False) as people:
        if not isinstance(people, Audited):
            raise _cannot(people, "has no audit log")
        for row in people.audit_log(since=first, until=last, identity=identity):
            at = datetime.fromtimestamp(row.at, timezone.utc).isoformat(timespec="milliseconds")
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
            output.result(record, (at, row.actor, row.action, *shown, row.detail))


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


@command
def check(
    output: Output,
    gallery: GalleryUrlOption,
    codec_loss: Annotated[
        bool, typer.Option("--codec-loss", help="Measure instead what the codec int8-only would change in searches.")
    ] = False,
    probes: Annotated[int, typer.Option(min=1, metavar="N", help="With --codec-loss: search with so many.")] = 1000,
    threshold: ThresholdOption = None,
) -> None:
    """Examine a gallery: the file or database, every template, what belongs together, and the encryption.

    Prints what is wrong, and then the exit code is 1.

    With --codec-loss: what searches of this very gallery would lose by keeping templates as int8 alone. Templates drawn
    at random are compared with those of all other identities.

    Example: mien gallery check --gallery sqlite:///people.db

    Example: mien gallery check --gallery sqlite:///people.db --codec-loss
    """
    from mien.galleries import open_gallery
    from mien.galleries.upkeep import Examinable

    with open_gallery(gallery, create=False) as people:
        if codec_loss:
            _measure(people, probes, threshold, output)
            return
        if not isinstance(people, Examinable):
            raise _cannot(people, "has nothing to examine")
        faults = people.check()
        for fault in faults:
            output.failure({"gallery": people.url}, BadGallery(fault))
        count = len(people)
    output.result({"gallery": people.url, "templates": count, "faults": len(faults)})
    if not faults:
        output.say(f"{people.name}: sound, templates {count}")


def _measure(people: Gallery, probes: int, threshold: float | None, output: Output) -> None:
    from mien.galleries.codec_loss import measure_codec_loss

    limit = _threshold_of(people.space) if threshold is None else threshold
    loss = measure_codec_loss(people, probes=probes, threshold=limit)
    output.columns("what int8-only would change", "measured")
    changed = "not counted" if loss.decisions_changed is None else str(loss.decisions_changed)
    at = "" if loss.threshold is None else f" at threshold {loss.threshold:g}"
    output.result(
        dataclasses.asdict(loss),
        ("searches that would name another identity first", f"{loss.best_changed:.4%} of {loss.probes}"),
        (f"decisions that would change{at}", f"{changed} of {loss.comparisons}"),
        ("largest difference of a score", f"{loss.largest_error:.6f}"),
        ("mean difference of a score", f"{loss.mean_error:.6f}"),
    )


def _threshold_of(space: str | None) -> float | None:
    """The threshold of the card whose space this is, if there is one."""
    from mien.zoo import cards

    for card in cards():
        if card.space == space and card.embedding is not None:
            return card.embedding.threshold
    return None


@command
def compact(
    output: Output,
    gallery: GalleryUrlOption,
    snapshot: Annotated[
        bool,
        typer.Option(
            "--snapshot/--no-snapshot", help="Write, beside a SQLite file, an index with which it opens at once."
        ),
    ] = True,
) -> None:
    """Give the room of removed templates back to the disk, and prepare the next opening.

    It may take as long as writing all of the gallery anew. The index is a copy of the templates; an encrypted gallery
    gets none. With --no-snapshot, the one there is is removed.

    Example: mien gallery compact --gallery sqlite:///people.db
    """
    from mien.galleries import SqlGallery, open_gallery, parse_url
    from mien.galleries.upkeep import Compactable

    path = parse_url(gallery).path
    before = _size(path)
    with open_gallery(gallery, create=False) as people:
        if isinstance(people, SqlGallery):
            people.compact(snapshot=snapshot)
        elif isinstance(people, Compactable):
            people.compact()
        else:
            raise _cannot(people, "has no files to compact")
    after = _size(path)
    output.result({"gallery": people.url, "bytes_before": before, "bytes_after": after})
    sizes = "" if before is None or after is None else f": {before} bytes before, {after} now"
    output.say(f"{people.name}: compacted{sizes}")


def _size(path: str) -> int | None:
    return os.path.getsize(path) if path and os.path.isfile(path) else None


@command
def rotate_key(
    output: Output,
    gallery: GalleryUrlOption,
    new_key_file: Annotated[
        Path,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, show_default=False, help="The new key, 32 bytes."),
    ],
) -> None:
    """Give an encrypted gallery another key.

    The old key is read as always: from the URL's key_file or the variable MIEN_GALLERY_KEY. Afterwards it opens the
    gallery no longer. Templates stay as they are: what is encrypted anew is the key that they are encrypted with.

    Example: mien gallery rotate-key --gallery 'sqlite:///people.db?key_file=old.key' --new-key-file new.key
    """
    from mien.galleries import open_gallery
    from mien.galleries.upkeep import Encryptable
    from mien.galleries.vault import read_key

    key = read_key(str(new_key_file), {})
    with open_gallery(gallery, create=False) as people:
        if not isinstance(people, Encryptable):
            raise _cannot(people, "is never encrypted")
        people.rotate_key(key)
    output.result({"gallery": people.url, "rotated": True})
    output.say(f"{people.name}: has a new key, {new_key_file}")
