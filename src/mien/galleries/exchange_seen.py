"""How many of each template an import has met: a digest of identity and stored vector for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.matching import Codec, encode
from mien.types import FloatArray

__all__ = ["Digests", "Tally", "digests"]

_DIGEST_BYTES = 16
_FRESH_DIGESTS = 200_000

Digests = NDArray[np.bytes_]


def digests(names: Sequence[str], vectors: FloatArray, codec: Codec) -> Digests:
    """A digest of identity and vector, as a gallery of that codec would keep it, for each template."""
    found = [
        hashlib.blake2b(name.encode() + b"\0" + row.tobytes(), digest_size=_DIGEST_BYTES).digest()
        for name, row in zip(names, encode(vectors, codec), strict=True)
    ]
    return np.array(found, f"S{_DIGEST_BYTES}")


class Tally:
    """Digests, and how many there are of each: 16 bytes for every one of them, and little more."""

    def __init__(self) -> None:
        # Equal ones stand side by side.
        self._sorted: Digests = np.empty(0, f"S{_DIGEST_BYTES}")
        self._fresh: dict[bytes, int] = {}
        self._fresh_count = 0

    def count(self, given: Digests) -> NDArray[np.int64]:
        """How many there are of each of the digests."""
        found = self._settled(given)
        for place, digest in enumerate(given.tolist()) if self._fresh else ():
            found[place] += self._fresh.get(digest, 0)
        return found

    def add(self, given: Digests) -> NDArray[np.int64]:
        """Take digests in; how many equal ones there were before each, those before it in ``given`` among them."""
        before = self._settled(given)
        for place, digest in enumerate(given.tolist()):
            fresh = self._fresh.get(digest, 0)
            before[place] += fresh
            self._fresh[digest] = fresh + 1
        self._fresh_count += len(given)
        if self._fresh_count > max(_FRESH_DIGESTS, len(self._sorted) // 4):
            kinds = np.array([*self._fresh], f"S{_DIGEST_BYTES}")
            fresh_ones = np.repeat(kinds, np.fromiter(self._fresh.values(), np.int64, len(kinds)))
            self._sorted = np.sort(np.concatenate([self._sorted, fresh_ones]))
            self._fresh, self._fresh_count = {}, 0
        return before

    def _settled(self, given: Digests) -> NDArray[np.int64]:
        first = np.searchsorted(self._sorted, given, side="left")
        return np.asarray(np.searchsorted(self._sorted, given, side="right") - first, np.int64)
