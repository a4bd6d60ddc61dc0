"""Between what a gallery means and what its columns hold: codecs, and encryption where the gallery is encrypted."""

from __future__ import annotations

import hashlib
import marshal
import threading
from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from mien.errors import BadGallery, BadInput
from mien.galleries.sql.database import Row
from mien.galleries.vault import Vault
from mien.matching import Codec, decode, encode, stored_width
from mien.types import FloatArray, Templates

__all__ = ["Sealer"]

_LANDMARKS = (5, 2)
_MOST_CHECKED = 256


class Sealer:
    """Encodes and decodes the columns of one gallery.

    Everything sealed is bound to its place (which template of which identity, gallery and space), so that rows which
    someone exchanges are found as well as bytes that someone changes.

    Args:
        gallery_id: the gallery's number.
        codec: how its vectors are stored.
        vault: what seals them, or None where the gallery is not encrypted.
        place: where, for messages.
    """

    def __init__(self, gallery_id: int, codec: Codec, vault: Vault | None, place: str) -> None:
        self.vault = vault
        self._gallery = f"of gallery {gallery_id}"
        self._codec: Codec = codec
        self._place = place
        self._lock = threading.Lock()
        self._checked: dict[bytes, None] = {}

    def keys(self, texts: Iterable[str], purpose: str) -> list[str]:
        """What names (purpose ``identity``) or tags (``tag``) are looked up by."""
        if self.vault is None:
            return list(texts)
        return [self.vault.fingerprint(text, purpose) for text in texts]

    @property
    def beside_keys(self) -> str:
        """The column to read beside keys; without encryption it holds nothing and would be looked for in vain."""
        return "NULL" if self.vault is None else "sealed"

    def sealed_texts(self, texts: Sequence[str], numbers: Sequence[int], purpose: str) -> list[bytes | None]:
        """What is stored beside the keys, for the identities of these numbers."""
        if self.vault is None:
            return [None] * len(texts)
        contexts = (f"{purpose} of identity {number} {self._gallery}" for number in numbers)
        return [*self.vault.seal_many([text.encode() for text in texts], contexts)]

    def texts(self, rows: Sequence[Row], purpose: str) -> list[str]:
        """Names or tags out of rows of identity number, key and what is stored beside it.

        Raises:
            BadGallery: one was tampered with, or is looked up by another's key.
        """
        if self.vault is None:
            return [key for _, key, _ in rows]
        contexts = (f"{purpose} of identity {number} {self._gallery}" for number, _, _ in rows)
        sealed = [b"" if text is None else text for _, _, text in rows]
        texts = [text.decode() for text in self._unsealed(sealed, contexts)]
        for (number, key, _), expected in zip(rows, self.keys(texts, purpose), strict=True):
            if key != expected:
                raise BadGallery(
                    f"{self._place}: identity {number}: the key of the {purpose} does not fit its text: "
                    "it was changed, or belongs elsewhere"
                )
        return texts

    def require_sound(self, rows: Sequence[Row], purpose: str) -> None:
        """Check rows as ``texts`` does; the same rows again cost little, for a digest of them is remembered.

        Raises:
            BadGallery: one was tampered with, or is looked up by another's key.
        """
        if self.vault is None:
            return
        # Format 2 writes equal values in equal bytes, unlike later ones.
        digest = hashlib.blake2b(marshal.dumps((purpose, *rows), 2), digest_size=32).digest()
        with self._lock:
            if digest in self._checked:
                return
        self.texts(rows, purpose)
        with self._lock:
            if len(self._checked) >= _MOST_CHECKED:
                del self._checked[next(iter(self._checked))]
            self._checked[digest] = None

    def stored_vectors(
        self, vectors: FloatArray, ids: Iterable[int], numbers: Iterable[int], space: str
    ) -> list[bytes]:
        """One piece a template: what is stored for ``(n, d) float32`` vectors of these ids and identities."""
        encoded = encode(vectors, self._codec)
        pieces: list[bytes] = encoded.view(f"V{encoded.shape[1]}").ravel().tolist()
        if self.vault is None:
            return pieces
        return self.vault.seal_many(pieces, self._vector_contexts(ids, numbers, space))

    def templates(
        self, stored: Sequence[bytes], ids: Iterable[int], numbers: Iterable[int], space: str, dimension: int
    ) -> Templates:
        """The templates that ``stored_vectors`` made the pieces of.

        Raises:
            BadGallery: one has another length, is no unit vector, or was tampered with.
        """
        pieces = stored
        if self.vault is not None:
            pieces = self._unsealed(stored, self._vector_contexts(ids, numbers, space))
        width = stored_width(self._codec, dimension)
        if set(map(len, pieces)) - {width}:
            wrong = next(len(piece) for piece in pieces if len(piece) != width)
            raise BadGallery(f"{self._place}: expected vectors of {width} bytes, got one of {wrong}")
        try:
            return Templates(decode(b"".join(pieces), self._codec, dimension), space)
        except (BadInput, TypeError) as error:
            raise BadGallery(f"{self._place}: a stored vector is damaged: {error}") from error

    def moved_vectors(
        self, stored: Sequence[bytes], ids: Sequence[int], former: int, number: int, space: str
    ) -> list[bytes]:
        """What is stored for vectors that go from one identity to another.

        Raises:
            BadGallery: one was tampered with.
        """
        if self.vault is None:
            return list(stored)
        pieces = self._unsealed(stored, self._vector_contexts(ids, repeat(former, len(ids)), space))
        return self.vault.seal_many(pieces, self._vector_contexts(ids, repeat(number, len(ids)), space))

    def sealed_portrait(self, picture: bytes, landmarks: FloatArray, template_id: int) -> tuple[bytes, bytes]:
        """What is stored for a portrait: the picture, and its landmarks as little-endian float32."""
        points = np.ascontiguousarray(landmarks, "<f4").tobytes()
        if self.vault is None:
            return picture, points
        what = f"of template {template_id} {self._gallery}"
        return self.vault.seal(picture, f"picture {what}"), self.vault.seal(points, f"landmarks {what}")

    def portrait(self, picture: bytes, landmarks: bytes, template_id: int) -> tuple[bytes, FloatArray]:
        """The portrait that ``sealed_portrait`` made this of.

        Raises:
            BadGallery: it is damaged or was tampered with.
        """
        if self.vault is not None:
            what = f"of template {template_id} {self._gallery}"
            picture, landmarks = self._unsealed((picture, landmarks), (f"picture {what}", f"landmarks {what}"))
        try:
            return picture, np.frombuffer(landmarks, "<f4").astype(np.float32).reshape(_LANDMARKS)
        except (TypeError, ValueError) as error:
            raise BadGallery(f"{self._place}: the landmarks of template {template_id} are damaged") from error

    def _vector_contexts(self, ids: Iterable[int], numbers: Iterable[int], space: str) -> Iterable[str]:
        gallery = self._gallery
        return (
            f"template {id_} of identity {number} {gallery} in {space}"
            for id_, number in zip(ids, numbers, strict=True)
        )

    def _unsealed(self, sealed: Sequence[bytes], contexts: Iterable[str]) -> list[bytes]:
        try:
            return [] if self.vault is None else self.vault.unseal_many(sealed, contexts)
        except BadGallery as error:
            raise BadGallery(f"{self._place}: {error}") from error
