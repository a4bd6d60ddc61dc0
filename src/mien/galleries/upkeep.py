"""What keeping a gallery for years takes: its log, its health, its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from mien.galleries.progress import Progress

__all__ = ["AuditRow", "Audited", "Compactable", "Encryptable", "Examinable", "ExportLogged", "Exportable"]


class AuditRow(Protocol):
    """A line of the audit log: who did what to whom, and when. It holds no template and, by itself, no name."""

    @property
    def at(self) -> float:
        """Seconds since 1970 (UTC)."""
        ...

    @property
    def actor(self) -> str:
        """Who did it."""
        ...

    @property
    def action(self) -> str:
        """What was done."""
        ...

    @property
    def identity_id(self) -> int | None:
        """The number of the identity, which stays in the log when the identity is erased."""
        ...

    @property
    def identity(self) -> str | None:
        """The identity's name, while it is enrolled."""
        ...

    @property
    def template_id(self) -> int | None:
        """The template, if it was one."""
        ...

    @property
    def detail(self) -> str:
        """What else there is to say."""
        ...


@runtime_checkable
class Compactable(Protocol):
    """A gallery whose files can be written anew without what was removed."""

    def compact(self, *, progress: Progress | None = None) -> None:
        """Give the room of what was removed back to the disk; ``progress`` is told how far that is."""
        ...


@runtime_checkable
class Examinable(Protocol):
    """A gallery that can be examined."""

    def check(self, *, progress: Progress | None = None) -> list[str]:
        """What is wrong with the gallery, a sentence each; an empty list if it is sound.

        Args:
            progress: is told how much of it is read.
        """
        ...


@runtime_checkable
class Exportable(Protocol):
    """A gallery that can tell all that it holds about one identity."""

    def export_identity(self, identity: str) -> dict[str, Any]:
        """All that is held about one identity, as plain JSON values.

        Raises:
            IdentityNotFound: nobody of that name is enrolled.
        """
        ...


@runtime_checkable
class Audited(Protocol):
    """A gallery that logs what is done."""

    def audit_log(
        self, *, since: float | None = None, until: float | None = None, identity: str | None = None
    ) -> Iterator[AuditRow]:
        """The log, oldest first: all of it, or a time of it (seconds since 1970), or that of one enrolled identity."""
        ...


@runtime_checkable
class ExportLogged(Protocol):
    """A gallery whose log takes in that all of it was exported."""

    def log_export(self, templates: int) -> None:
        """Log an export before anything is given out, as far as the gallery's options ask for it.

        Args:
            templates: how many there are.

        Raises:
            GalleryError: the log cannot be written, and takes in everything; then nothing must be exported.
        """
        ...


@runtime_checkable
class Encryptable(Protocol):
    """A gallery whose key can be changed."""

    def rotate_key(self, key: bytes) -> None:
        """Wrap the gallery's data key in another key of 32 bytes.

        Raises:
            GalleryError: the gallery is not encrypted.
            BadKey: the key has another length.
        """
        ...
