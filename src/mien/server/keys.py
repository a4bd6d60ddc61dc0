"""API keys: made once, shown once, kept as a slow hash, checked in constant time, revoked at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from mien.errors import BadInput, Unauthorized
from mien.galleries import canonical_name
from mien.server.state import State

__all__ = ["SCHEMA", "SCOPES", "Key", "KeyRing", "WrongSecret"]

SCOPES = ("read", "identify", "enroll", "admin")
"""What a key may allow: to look at faces, galleries and models; to search; to change who is enrolled; everything."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL, scopes TEXT NOT NULL,
        galleries TEXT, created REAL NOT NULL, expires REAL, revoked REAL, last_used REAL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS keys_in_use ON keys (name) WHERE revoked IS NULL",
)

_SECRET = re.compile(r"mien_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_GALLERY = re.compile(r"[A-Za-z0-9._-]{1,64}")
# One of the strengths that OWASP's Password Storage Cheat Sheet gives for scrypt: N=2^14, r=8, p=5; 16 MiB.
_SCRYPT = {"n": 2**14, "r": 8, "p": 5, "dklen": 32}
# What was true of a secret stays true; that the key still works is looked up much more often.
_HASHED_AGAIN_S = 3600.0
_USE_NOTED_AGAIN_S = 60.0
_LOOKED_UP_AGAIN_S = 2.0
_MOST_CACHED = 4096
_LONGEST_S = 100 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; not the key itself.

    Attributes:
        id: 12 letters and digits, part of the key and no secret.
        name: whose it is, as the audit log says it.
        scopes: what it allows, some of ``SCOPES``.
        galleries: the only galleries that it opens, or None for all.
        created: when it was made, in seconds since 1970 (UTC).
        expires: when it ends, or None.
        revoked: when it was revoked, or None.
        last_used: when it was last used, to the minute, or None.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    galleries: tuple[str, ...] | None
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None

    @property
    def works(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or time.time() < self.expires)


class WrongSecret(Unauthorized):
    """Somebody guesses: a key of that id exists, and the rest is wrong."""


@dataclass(frozen=True, slots=True)
class _Checked:
    key: Key
    hashed_at: float
    looked_up_at: float


class KeyRing:
    """The keys that open a server; safe to use from many threads, and shared with other processes by ``state``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._checked: dict[bytes, _Checked] = {}
        self._lock = threading.Lock()
        # Of many requests that come at once with a key not seen before, the first one checks it for all.
        self._hashing = threading.Lock()

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        expires_s: float | None = None,
        galleries: Iterable[str] | None = None,
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: whose it is; no other key in use may have that name.
            scopes: what it allows, at least one of ``SCOPES``.
            expires_s: after how many seconds it ends, or None for never.
            galleries: the only galleries that it opens, or None for all.

        Returns:
            What is known of the key, and the secret itself, which cannot be had again.

        Raises:
            BadInput: a name, scope or gallery is not fit, or the name is taken.
        """
        wanted = frozenset(scopes)
        if not wanted or wanted - set(SCOPES):
            raise BadInput(f"scopes: expected some of {', '.join(SCOPES)}, got {', '.join(sorted(wanted)) or 'none'}")
        if expires_s is not None and not 0 < expires_s <= _LONGEST_S:
            raise BadInput(f"expires_s: expected more than 0 and at most {_LONGEST_S:.0f} seconds, got {expires_s}")
        opened = None if galleries is None else tuple(sorted(set(galleries)))
        if opened is not None:
            _require_galleries(opened, wanted)
        key_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
        secret, salt = f"mien_{key_id}_{secrets.token_urlsafe(32)}", secrets.token_bytes(16)
        slow = _slow_hash(secret, salt)
        now = time.time()
        key = Key(
            id=key_id,
            name=canonical_name(name, "name"),
            scopes=tuple(scope for scope in SCOPES if scope in wanted),
            galleries=opened,
            created=now,
            expires=None if expires_s is None else now + expires_s,
            revoked=None,
            last_used=None,
        )
        row = (
            *(key.id, key.name, salt, slow, json.dumps(key.scopes)),
            *(None if opened is None else json.dumps(opened), key.created, key.expires),
        )
        try:
            with self._state.writing() as connection:
                # An expired key keeps nobody from taking its name.
                connection.execute("UPDATE keys SET revoked = expires WHERE revoked IS NULL AND expires <= ?", (now,))
                columns = "id, name, salt, hash, scopes, galleries, created, expires"
                connection.execute(f"INSERT INTO keys ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise BadInput(f"name: expected one that no key in use has, got {key.name!r}") from error
        return key, secret

    def list(self) -> list[Key]:
        """All keys, those that do not work any more too, in the order in which they were made."""
        with self._state.reading() as connection:
            return [_key(row) for row in connection.execute("SELECT * FROM keys ORDER BY created, id")]

    def revoke(self, key_id: str) -> Key:
        """End a key for good: at once in this process, within two seconds in others; revoking twice is fine.

        Raises:
            BadInput: there is no key of that id.
        """
        with self._state.writing() as connection:
            connection.execute(
                "UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (time.time(), str(key_id))
            )
            row = connection.execute("SELECT * FROM keys WHERE id = ?", (str(key_id),)).fetchone()
        if row is None:
            raise BadInput(f"there is no key of the id {key_id!r}")
        with self._lock:
            self._checked = {digest: kept for digest, kept in self._checked.items() if kept.key.id != row["id"]}
        return _key(row)

    def any_in_use(self) -> bool:
        """Whether there is a key that works."""
        return any(key.works for key in self.list())

    def known(self, secret: str) -> Key | None:
        """The key, if it was checked a moment ago: without waiting for anything; None where ``check`` must say."""
        kept = self._checked.get(_fast_hash(secret))
        now = time.monotonic()
        if kept is None or now - kept.hashed_at > _HASHED_AGAIN_S or now - kept.looked_up_at > _LOOKED_UP_AGAIN_S:
            return None
        return kept.key if kept.key.works else None

    def seen(self, secret: str) -> bool:
        """Whether ``check`` found this very secret to be right within the last hour, and will answer fast."""
        return self._hashed_at(_fast_hash(secret)) is not None

    def check(self, secret: str) -> Key:
        """The key that a secret is; takes a tenth of a second and more when it has not been seen for an hour.

        Raises:
            Unauthorized: it is none, expired or revoked.
            WrongSecret: the id is that of a key, and the rest is wrong.
        """
        found = _SECRET.fullmatch(secret)
        row = None if found is None else self._row(found[1])
        if row is None:
            raise Unauthorized("the key is not known")
        key, digest = _key(row), _fast_hash(secret)
        hashed_at = self._hashed_at(digest)
        if hashed_at is None:
            with self._hashing:
                hashed_at = self._hashed_at(digest)
                if hashed_at is None:
                    if not hmac.compare_digest(_slow_hash(secret, row["salt"]), row["hash"]):
                        raise WrongSecret("the key is not known")
                    hashed_at = time.monotonic()
                    self._keep(digest, _Checked(key, hashed_at, hashed_at))
        self._keep(digest, _Checked(key, hashed_at, time.monotonic()))
        # Only who has the whole key is told more of it.
        if not key.works:
            raise Unauthorized("the key was revoked" if key.revoked is not None else "the key has expired")
        now = time.time()
        if key.last_used is None or now - key.last_used > _USE_NOTED_AGAIN_S:
            with self._state.writing() as connection:
                connection.execute("UPDATE keys SET last_used = ? WHERE id = ?", (now, key.id))
        return key

    def _hashed_at(self, digest: bytes) -> float | None:
        """When the slow hash of a secret was last found to be right, if that is not too long ago."""
        kept = self._checked.get(digest)
        return None if kept is None or time.monotonic() - kept.hashed_at > _HASHED_AGAIN_S else kept.hashed_at

    def _keep(self, digest: bytes, checked: _Checked) -> None:
        with self._lock:
            if len(self._checked) >= _MOST_CACHED:
                self._checked.clear()
            self._checked[digest] = checked

    def _row(self, key_id: str) -> sqlite3.Row | None:
        with self._state.reading() as connection:
            row: sqlite3.Row | None = connection.execute("SELECT * FROM keys WHERE id = ?", (key_id,)).fetchone()
        return row


def _require_galleries(names: tuple[str, ...], scopes: frozenset[str]) -> None:
    unfit = [name for name in names if _GALLERY.fullmatch(name) is None]
    if not names or unfit:
        raise BadInput(f"galleries: expected names of galleries, got {', '.join(map(repr, unfit)) or 'none'}")
    if "admin" in scopes:
        raise BadInput("galleries: expected no limit to galleries with the scope admin, which opens all of them")


def _key(row: sqlite3.Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        scopes=tuple(json.loads(row["scopes"])),
        galleries=None if row["galleries"] is None else tuple(json.loads(row["galleries"])),
        created=row["created"],
        expires=row["expires"],
        revoked=row["revoked"],
        last_used=row["last_used"],
    )


def _slow_hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT)


def _fast_hash(secret: str) -> bytes:
    """What finds a checked secret in memory, so that secrets themselves are not kept there."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
