"""What searches a SQL gallery: the copy in memory, or the server itself."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.types import Match, Templates

__all__ = ["Engine"]


class Engine(Protocol):
    """Searches the templates of one gallery as they are in the database now. Safe to use from many threads."""

    def search(
        self,
        probes: Templates,
        *,
        top: int,
        threshold: float | None,
        allowed: NDArray[np.int64] | None,
        cutoff: float | None,
    ) -> list[list[Match]]:
        """What ``Gallery.search`` returns.

        Args:
            probes: any number of them.
            top: at least 1.
            threshold: a number or None.
            allowed: ``(n,)``, the numbers of the identities that may be found, rising; None for all.
            cutoff: templates enrolled before this time (seconds since 1970) have expired; None: none has.
        """
        ...

    def count(self, cutoff: float | None) -> int | None:
        """How many templates there are, or None where only the database can tell; ``cutoff`` as in ``search``."""
        ...

    def close(self) -> None:
        """Give back memory; closing twice is fine."""
        ...
