"""Encryption at rest: a gallery's own random data key, kept wrapped by the user's key.

Only the wrapped data key depends on the user's key, so changing that key rewrites a hundred bytes and no template.
Everything is AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits a seal; the standard allows 2^32 seals
under one data key (section 8.3). Lost keys cannot be recovered.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mien.errors import BadGallery, BadInput, BadKey, KeyMissing, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_VARIABLE", "Vault", "read_key"]

KEY_VARIABLE = "MIEN_GALLERY_KEY"
"""The environment variable that may hold the key."""

_KEY_BYTES = 32
_NONCE = 12
_TAG = 16
_FORMAT = b"\x01"
_MARK = 8
_WRAPPED = len(_FORMAT) + _MARK + _NONCE + 2 * _KEY_BYTES + _TAG
_WRAPPING_CONTEXT = b"mien gallery data key"
_LONGEST_KEY_FILE = 1024


class Vault:
    """Seals what a gallery stores, each piece bound to its place by a context.

    One piece costs about 2 microseconds for 512 bytes; threads do not help, since ``cryptography`` holds the
    interpreter's lock for pieces so small. Safe to use from many threads. Made by ``create`` or ``open``.
    """

    __slots__ = ("_aes", "_data_key")

    def __init__(self, data_key: bytes) -> None:
        self._data_key = data_key
        self._aes = _cipher(data_key[:_KEY_BYTES])

    @classmethod
    def create(cls, key: bytes) -> tuple[Vault, bytes]:
        """A vault with a new random data key.

        Args:
            key: the user's key, 32 bytes.

        Returns:
            The vault, and its data key wrapped by ``key``, to be stored beside what is sealed.

        Raises:
            BadKey: not 32 bytes.
            MissingExtra: ``cryptography`` is not installed.
        """
        vault = cls(os.urandom(2 * _KEY_BYTES))
        return vault, vault.rewrapped(key)

    @classmethod
    def open(cls, key: bytes, wrapped: bytes, place: str) -> Vault:
        """The vault whose wrapped data key this is.

        Args:
            key: the user's key, 32 bytes.
            wrapped: what ``create`` or ``rewrapped`` gave.
            place: which gallery, for messages.

        Raises:
            BadKey: not the key that wrapped it.
            BadGallery: the wrapped data key is damaged, or of a newer format.
            MissingExtra: ``cryptography`` is not installed.
        """
        from_user = _cipher(_checked(key))
        if len(wrapped) != _WRAPPED or wrapped[:1] != _FORMAT:
            raise BadGallery(
                f"{place}: expected a wrapped data key of {_WRAPPED} bytes in format {_FORMAT[0]}, got {len(wrapped)} "
                f"bytes in format {wrapped[0] if wrapped else 'none'}: damaged, or made by a newer mien"
            )
        mark, sealed = wrapped[1 : 1 + _MARK], wrapped[1 + _MARK :]
        if not hmac.compare_digest(mark, _mark(key)):
            raise BadKey(f"{place}: this is not the key that the gallery is encrypted with")
        try:
            return cls(from_user.decrypt(sealed[:_NONCE], sealed[_NONCE:], _WRAPPING_CONTEXT))
        except _invalid_tag() as error:
            raise BadGallery(f"{place}: the key is right, but the gallery's wrapped data key is damaged") from error

    def rewrapped(self, key: bytes) -> bytes:
        """The data key wrapped by another user's key; once it is stored, the former key opens nothing.

        Raises:
            BadKey: not 32 bytes.
        """
        nonce = os.urandom(_NONCE)
        sealed = _cipher(_checked(key)).encrypt(nonce, self._data_key, _WRAPPING_CONTEXT)
        return _FORMAT + _mark(key) + nonce + sealed

    def seal(self, data: bytes, context: str) -> bytes:
        """``data`` encrypted, 28 bytes longer: nonce, ciphertext, tag.

        Args:
            data: any bytes.
            context: where they belong, such as ``template 17 of gallery 2``; not stored, needed to unseal.
        """
        nonce = os.urandom(_NONCE)
        return nonce + self._aes.encrypt(nonce, data, context.encode())

    def seal_many(self, data: Sequence[bytes], contexts: Iterable[str]) -> list[bytes]:
        """``seal`` for many, with one draw of random numbers.

        Raises:
            BadInput: not as many contexts as pieces.
        """
        places = list(contexts)
        if len(places) != len(data):
            raise BadInput(f"contexts: expected one a piece ({len(data)}), got {len(places)}")
        drawn, encrypt = os.urandom(_NONCE * len(data)), self._aes.encrypt
        nonces = (drawn[start : start + _NONCE] for start in range(0, len(drawn), _NONCE))
        return [
            nonce + encrypt(nonce, piece, place.encode())
            for nonce, piece, place in zip(nonces, data, places, strict=True)
        ]

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """What ``seal`` was given with this context.

        Raises:
            BadGallery: a byte was changed, or the piece belongs to another context or vault.
        """
        return self.unseal_many((sealed,), (context,))[0]

    def unseal_many(self, sealed: Sequence[bytes], contexts: Iterable[str]) -> list[bytes]:
        """``unseal`` for many; raises what it raises, for the first piece that does not fit."""
        decrypt = self._aes.decrypt
        places = list(contexts)
        if len(places) != len(sealed):
            raise BadInput(f"contexts: expected one a piece ({len(sealed)}), got {len(places)}")
        data: list[bytes] = []
        try:
            for piece, context in zip(sealed, places, strict=True):
                data.append(decrypt(piece[:_NONCE], piece[_NONCE:], context.encode()))
        except (_invalid_tag(), TypeError, ValueError) as error:
            # Too short or no bytes at all is damage as well: a column may hold anything once a file is damaged.
            raise BadGallery(
                f"{places[len(data)]}: what is stored there was changed, or belongs elsewhere (its seal does not fit)"
            ) from error
        return data

    def fingerprint(self, text: str, purpose: str) -> str:
        """64 hex digits by which an encrypted name or tag is looked up: HMAC-SHA256 under the data key.

        Args:
            text: the name or tag.
            purpose: what it is; equal texts of two purposes have unlike fingerprints.
        """
        message = purpose.encode() + b"\0" + text.encode()
        return hmac.digest(self._data_key[_KEY_BYTES:], message, "sha256").hex()


def read_key(file: str | None, environ: Mapping[str, str]) -> bytes:
    """The user's key, 32 bytes, from a file or, where none is named, from the environment.

    A file may hold the 32 bytes as they are, or as the text that the variable may hold: 64 hex digits or base64
    (also the URL-safe kind), with any white space around it. A key must be random; a password is none.

    Args:
        file: the key file's path, or None.
        environ: such as ``os.environ``; read only without a file.

    Raises:
        KeyMissing: neither is there, or the file cannot be read.
        BadKey: what is there is no key of 32 bytes.
    """
    if file is not None:
        try:
            with open(file, "rb") as stream:
                content = stream.read(_LONGEST_KEY_FILE + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "this is no path"
            raise KeyMissing(f"the key file {file} cannot be read: {reason}") from error
        if len(content) == _KEY_BYTES and not (content.isascii() and content.decode().isprintable()):
            return content
        return _decoded(content, f"the key file {file}")
    text = environ.get(KEY_VARIABLE, "")
    if not text.strip():
        raise KeyMissing(
            f"the gallery is encrypted and no key was given: name a key file (key_file=PATH in the URL) or set "
            f"{KEY_VARIABLE} to 64 hex digits or base64; `openssl rand -hex 32` makes a key"
        )
    return _decoded(text.encode(errors="replace"), f"the variable {KEY_VARIABLE}")


def _decoded(content: bytes, where: str) -> bytes:
    """The key that a text stands for. Messages never show the text."""
    text = content.strip()
    key = b""
    if re.fullmatch(rb"[0-9a-fA-F]+", text):
        key = bytes.fromhex(text.decode()) if len(text) % 2 == 0 else b""
    elif re.fullmatch(rb"[A-Za-z0-9+/_-]{43}=?", text):
        try:
            key = base64.b64decode(text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/")) + b"=", validate=True)
        except binascii.Error:
            key = b""
    if len(key) != _KEY_BYTES:
        raise BadKey(
            f"{where}: expected {_KEY_BYTES} random bytes, as they are or as 64 hex digits or as base64, "
            f"got {len(content) if len(content) <= _LONGEST_KEY_FILE else f'more than {_LONGEST_KEY_FILE}'} bytes "
            f"that are none; `openssl rand -hex {_KEY_BYTES}` makes a key"
        )
    return key


def _checked(key: bytes) -> bytes:
    if len(key) != _KEY_BYTES:
        raise BadKey(f"expected a key of {_KEY_BYTES} bytes, got {len(key)}")
    return key


def _mark(key: bytes) -> bytes:
    """Tells a wrong key from damage; as hard to turn back into the key as AES-GCM's own tag."""
    return hmac.digest(key, b"mien gallery key", "sha256")[:_MARK]


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtra("encrypted galleries need cryptography: pip install 'mien[encryption]'") from error
    return AESGCM(key)


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag
