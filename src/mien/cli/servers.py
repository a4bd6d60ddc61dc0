"""The options that send a command's work to a server, and what answers it then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mien.cli.options import Tuning
from mien.errors import BadInput, BadSettings

if TYPE_CHECKING:
    from mien.client import Client, RemoteGallery, RemoteRecognizer
    from mien.client.reading import JudgedQuality
    from mien.galleries import Gallery, GallerySummary
    from mien.quality import QualityLimits
    from mien.recognizer import Recognizer
    from mien.types import Quality, QualityReason

__all__ = ["Place", "checked_gallery", "named_gallery"]

_PANEL = "Server"
_KEY_VARIABLE = "MIEN_SERVER_KEY"
_MOST_KEY_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the work is done: in this process or, with ``--server``, on a server, where galleries have names."""

    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            envvar="MIEN_SERVER",
            rich_help_panel=_PANEL,
            help="Let this server do the work, such as http://127.0.0.1:8080; --gallery is then a gallery's name.",
        ),
    ] = None
    server_key_file: Annotated[
        Path | None,
        typer.Option(
            "--server-key-file",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            rich_help_panel=_PANEL,
            help="File that holds the API key; by default the variable MIEN_SERVER_KEY.",
        ),
    ] = None
    server_ca: Annotated[
        Path | None,
        typer.Option(
            "--server-ca",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            rich_help_panel=_PANEL,
            help="PEM file of the authority that signed the server's certificate, if it is one of your own.",
        ),
    ] = None

    @property
    def remote(self) -> bool:
        """Whether a server does the work.

        Raises:
            typer.BadParameter: an option goes with a server, and there is none.
        """
        if self.server:
            return True
        for field in fields(self):
            if field.name != "server" and getattr(self, field.name) is not None:
                raise typer.BadParameter("goes with --server", param_hint=_option(field.name))
        return False

    def client(self) -> Client:
        """The client of the server.

        Raises:
            BadSettings: the address or the key can be none.
            MissingExtra: httpx is not installed.
        """
        from mien.client import Client

        try:
            return Client(str(self.server), self._key(), verify=True if self.server_ca is None else self.server_ca)
        except BadInput as error:
            raise BadSettings(error.message) from error

    def recognizer(
        self, tuning: Tuning, quality: str | None = None, *, upright: bool | None = None
    ) -> Recognizer | RemoteRecognizer:
        """What finds and compares faces: ``tuning.recognizer`` or, with a server, that.

        Raises:
            typer.BadParameter: an option is a matter of the server's.
            BadSettings: a setting is not valid.
            ModelNotFound: no card has the detector's or the embedder's name.
        """
        if not self.remote:
            return tuning.recognizer(quality, upright=upright)
        from mien.client import RemoteRecognizer

        self.refuse_tuning(tuning)
        self.refuse(quality=quality, upright=upright)
        return RemoteRecognizer(self.client())

    def refuse_tuning(self, tuning: Tuning) -> None:
        """Refuse the settings of models, which are the server's.

        Raises:
            typer.BadParameter: one was given.
        """
        self.refuse(**{field.name: getattr(tuning, field.name) for field in fields(tuning)})

    def refuse(self, **given: object) -> None:
        """Refuse options that cannot go with a server; None was not given.

        Raises:
            typer.BadParameter: one was given.
        """
        named = [_option(name) for name, value in given.items() if value is not None]
        if named:
            raise typer.BadParameter(
                f"cannot go with --server ({self.server}), whose own settings hold", param_hint=" ".join(named)
            )

    def galleries(self, url: str | None) -> list[GallerySummary]:
        """The galleries at a URL or, with a server, all of it.

        Raises:
            typer.BadParameter: there is neither, or both.
            BadGallery: there is none at the URL.
        """
        if self.remote:
            if url is not None:
                raise typer.BadParameter("a server lists all that it has", param_hint="--gallery")
            with self.client() as client:
                return client.galleries()
        if url is None:
            raise typer.BadParameter("say where the galleries are, or give --server", param_hint="--gallery")
        from mien.galleries import galleries_at

        return galleries_at(url)

    def open_gallery(self, url: str) -> Gallery:
        """The gallery at a URL or, with a server, the one of that name; it must be there.

        Raises:
            typer.BadParameter: no gallery of a server can have that name.
            BadGallery: there is none.
        """
        if self.remote:
            return named_gallery(self.client(), url)
        from mien.galleries import open_gallery

        return open_gallery(url, create=False)

    def refusals(self, found: Quality, limits: QualityLimits) -> Sequence[tuple[QualityReason, ...]]:
        """What each face would be refused for; a server judges itself, by measures that are not rounded."""
        if self.remote:
            return cast("JudgedQuality", found).reasons
        from mien.recognizer.records import refusals

        return refusals(found, limits)

    def ids(self, people: Gallery, identity: str) -> list[int]:
        """The ids of an identity's templates; a server tells them to more keys than it gives the templates to."""
        if self.remote:
            return cast("RemoteGallery", people).template_ids(identity)
        return people.templates(identity)[0]

    def mapped(self, people: Gallery) -> int:
        """How many of a gallery's templates came out of a learned map."""
        if self.remote:
            return cast("RemoteGallery", people).summary().mapped
        from mien.galleries import Migratable

        return people.mapped() if isinstance(people, Migratable) else 0

    def _key(self) -> str | None:
        """The API key.

        Raises:
            BadSettings: its file cannot be read or is none.
        """
        if self.server_key_file is None:
            return os.environ.get(_KEY_VARIABLE) or None
        try:
            with open(self.server_key_file, "rb") as file:
                return file.read(_MOST_KEY_BYTES).decode("ascii")
        except OSError as error:
            raise BadSettings(f"{self.server_key_file}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise BadSettings(f"{self.server_key_file}: expected a key as mien keys prints it, got no text") from error


def named_gallery(client: Client, name: str) -> RemoteGallery:
    """A gallery of a server, which must be there.

    Raises:
        typer.BadParameter: no gallery of a server can have that name.
        GalleryNotFound: there is none of that name.
    """
    gallery = checked_gallery(client, name)
    gallery.summary()
    return gallery


def checked_gallery(client: Client, name: str) -> RemoteGallery:
    """A gallery of a server, whether it is there or not.

    Raises:
        typer.BadParameter: no gallery of a server can have that name.
    """
    try:
        return client.gallery(name)
    except BadInput as error:
        from mien.galleries.urls import without_password

        raise typer.BadParameter(
            f"with --server, expected a gallery's name (letters, digits, . _ -), got {without_password(name)!r}",
            param_hint="--gallery",
        ) from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
