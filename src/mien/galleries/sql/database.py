"""What a SQL engine must offer, so that one gallery runs on all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

__all__ = ["Database", "Row", "Session", "untold"]

Row = tuple[Any, ...]


def untold() -> None:
    """What is called where nobody wants to know how far work is."""


class Session(Protocol):
    """The inside of one transaction. Statements have ``?`` for their parameters, whatever the engine."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run a statement; its rows, none where it gives none."""
        ...

    def affected(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run a statement; how many rows it changed."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert many rows, in the engine's fastest way."""
        ...

    def stream(self, sql: str, parameters: Sequence[object] = (), *, rows: int = 20_000) -> Iterator[list[Row]]:
        """Run a query and give its rows in lists of at most ``rows``, in bounded memory."""
        ...

    def telling(self, tell: Callable[[], None]) -> AbstractContextManager[None]:
        """Call ``tell`` now and then while a statement in the block takes long, where the engine can."""
        ...


class Database(Protocol):
    """A place that holds galleries. Safe to use from many threads.

    Errors leave it as ``GalleryError``, ``BadGallery`` or ``GalleryLocked`` with the place in the message.
    """

    @property
    def kind(self) -> Literal["sqlite", "postgresql"]:
        """Which engine."""
        ...

    @property
    def place(self) -> str:
        """Where, for messages: a path, or a server without its password."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether changes are forbidden or impossible."""
        ...

    def reading(self) -> AbstractContextManager[Session]:
        """One consistent view of the data; never waits for a writer."""
        ...

    def writing(self, gallery_id: int | None = None, *, wait: bool = True) -> AbstractContextManager[Session]:
        """One durable transaction: all of it, or nothing when the block raises.

        Writers of one gallery take turns, across all processes, so that ids become visible in rising order.

        Args:
            gallery_id: the gallery, or None for what is not inside one.
            wait: whether to wait for others who are writing, or to raise GalleryLocked at once.
        """
        ...

    def version(self) -> Hashable:
        """Cheap; another value whenever anyone may have committed something since the last call."""
        ...

    def announce(self, session: Session, gallery_id: int) -> None:
        """Inside a writing transaction: once it is committed, other processes are to look at the gallery."""
        ...

    def erase_leftovers(self) -> None:
        """After a removal: overwrite what the engine still keeps of the removed, as far as others let it now."""
        ...

    def compact(self, tell: Callable[[], None] = untold) -> None:
        """Give back the room of what was removed; ``tell`` is called now and then."""
        ...

    def check(self, tell: Callable[[], None] = untold) -> list[str]:
        """The damage that the engine finds; none if it is sound. ``tell`` is called now and then."""
        ...

    def close(self) -> None:
        """Give back connections and memory; closing twice is fine."""
        ...
