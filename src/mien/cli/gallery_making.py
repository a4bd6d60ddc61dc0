"""``mien gallery create``, and a gallery's options in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args
from urllib.parse import quote

import typer

from mien.cli.command import command
from mien.cli.opening import is_there
from mien.cli.options import GalleryUrlOption
from mien.cli.output import Output
from mien.cli.servers import Place, checked_gallery
from mien.errors import GalleryError

if TYPE_CHECKING:
    from mien.galleries import GalleryOptions, GalleryUrl

__all__ = ["create", "in_words", "with_options"]

_LONGEST_DAYS = 36_500


@command
def create(
    output: Output,
    place: Place,
    gallery: GalleryUrlOption,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="float32|int8|int8-only",
            help="How templates are kept and searched; int8-only takes a quarter of the room, at a small loss.",
        ),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(metavar="max|mean", help="An identity's score over its templates' scores."),
    ] = None,
    portraits: Annotated[
        bool, typer.Option("--portraits", help="Keep a picture of each enrolled face, for other models to come.")
    ] = False,
    audit: Annotated[
        str | None,
        typer.Option(metavar="off|changes|all", help="What is logged: enrolling and removing; all: searches too."),
    ] = None,
    audit_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Keep the log for so long; by default for ever.")
    ] = None,
    retention_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Erase templates that are older; by default none.")
    ] = None,
    encrypted: Annotated[
        bool, typer.Option("--encrypted", help="Encrypt templates, names, tags and portraits (AES-256-GCM).")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The key, 32 bytes; by default the variable MIEN_GALLERY_KEY.",
        ),
    ] = None,
) -> None:
    """Make an empty gallery, and settle how it keeps what it will hold.

    What is not given is as the URL says, or as usual. Enrolling makes a gallery too, where there is none.

    Example: mien gallery create --gallery sqlite:///people.db --codec int8 --portraits

    Example: mien gallery create --gallery sqlite:///people.db --encrypted --key-file people.key
    """
    from mien.galleries import open_gallery, parse_url

    everything: dict[str, Any] = {
        "codec": codec,
        "fusion": fusion,
        "portraits": "yes" if portraits else None,
        "audit": audit,
        "audit_days": audit_days,
        "retention_days": retention_days,
        "encrypted": "yes" if encrypted else None,
        "key_file": key_file,
    }
    given = {name: value for name, value in everything.items() if value is not None}
    if place.remote:
        place.refuse(encrypted=encrypted or None, key_file=key_file)
        _require_fit(given, None)
        with place.client() as client:
            remote = checked_gallery(client, gallery)
            kept = client.create_gallery(remote.name, **{**given, "portraits": portraits}).options
            output.result({"gallery": remote.url, "name": remote.name, **dataclasses.asdict(kept)})
            output.say(f"made {remote.name}: {in_words(kept)}")
        return
    _require_fit(given, parse_url(gallery))
    url = with_options(gallery, {name: str(value) for name, value in given.items()})
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        raise typer.BadParameter("a memory: gallery is gone when the command ends", param_hint="--gallery")
    if is_there(gallery, parsed.name):
        raise GalleryError(f"{parsed.shown}: there is a gallery named {parsed.name!r} already")
    with open_gallery(url) as made:
        options = made.options
        output.result({"gallery": made.url, "name": made.name, **dataclasses.asdict(options)})
        output.say(f"made {made.name}: {in_words(options)}")


def _require_fit(given: dict[str, Any], url: GalleryUrl | None) -> None:
    """Tell of options that cannot be by the names under which they were given.

    Raises:
        typer.BadParameter: a value does not fit, or the URL has the same option.
    """
    from mien.galleries.protocol import Audit
    from mien.matching import CODECS, FUSIONS

    choices = {"codec": CODECS, "fusion": FUSIONS, "audit": get_args(Audit)}
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name in choices and value not in choices[name]:
            expected = f"{', '.join(choices[name][:-1])} or {choices[name][-1]}"
            raise typer.BadParameter(f"expected {expected}, got {value!r}", param_hint=option)
        if isinstance(value, float) and not 0 < value <= _LONGEST_DAYS:
            expected = f"more than 0 and at most {_LONGEST_DAYS} days"
            raise typer.BadParameter(f"expected {expected}, got {value:g}", param_hint=option)
        if url is None:
            continue
        if name in url.named or (name == "key_file" and url.key_file is not None):
            raise typer.BadParameter(f"the URL says {name}, too: {url.shown!r}", param_hint=option)
    if url is not None and "key_file" in given and "encrypted" not in given and not url.named.get("encrypted"):
        raise typer.BadParameter("goes with --encrypted", param_hint="--key-file")


def with_options(url: str, options: dict[str, str]) -> str:
    """A gallery URL with more options."""
    added = "&".join(f"{name}={quote(value, safe='/')}" for name, value in options.items())
    if not added:
        return url
    return f"{url}{'&' if '?' in url else '?'}{added}"


def in_words(options: GalleryOptions) -> str:
    """How a gallery keeps what it holds, for people."""
    words = [f"codec {options.codec}", f"fusion {options.fusion}", f"audit {options.audit}"]
    if options.audit_days is not None:
        words.append(f"log kept for {options.audit_days:g} days")
    if options.retention_days is not None:
        words.append(f"templates kept for {options.retention_days:g} days")
    words += [word for word, on in (("portraits", options.portraits), ("encrypted", options.encrypted)) if on]
    return ", ".join(words)
