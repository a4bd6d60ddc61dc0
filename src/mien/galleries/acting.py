"""Who is at work, where one process works for many: the audit log then names them, and not the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mien.galleries.names import canonical_name

__all__ = ["acting", "acting_as"]

_acting: ContextVar[str | None] = ContextVar("mien_gallery_actor", default=None)


@contextmanager
def acting_as(actor: str) -> Iterator[None]:
    """Log as ``actor`` what is done to galleries inside the block, whatever the galleries' URLs say.

    It holds for this thread and for asyncio tasks that are begun inside; a thread that is begun inside needs a block
    of its own (``asyncio.to_thread`` and anyio's threads take it along).

    Raises:
        BadInput: the name is empty, longer than 1000 characters or holds control characters.
    """
    token = _acting.set(canonical_name(actor, "actor"))
    try:
        yield
    finally:
        _acting.reset(token)


def acting() -> str | None:
    """Who is at work by the innermost ``acting_as``, or None outside of any."""
    return _acting.get()
