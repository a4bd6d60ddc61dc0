"""Keys: how they are kept, checked, and ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mien.errors import BadInput, Unauthorized
from mien.server import keys
from mien.server.keys import KeyRing, WrongSecret
from mien.server.state import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "server.db", [keys.SCHEMA])
    yield opened
    opened.close()


@pytest.fixture
def ring(state: State) -> KeyRing:
    return KeyRing(state)


def test_a_key_opens(ring: KeyRing) -> None:
    key, secret = ring.create("reception", ["identify", "read", "read"], galleries=["staff"])
    assert key.scopes == ("read", "identify")
    found = ring.check(secret)
    assert (found.id, found.name, found.scopes, found.galleries) == (key.id, "reception", key.scopes, ("staff",))
    assert secret.startswith(f"mien_{key.id}_")
    assert len(secret) >= 60


def test_the_secret_is_nowhere_on_the_disk(ring: KeyRing, state: State, tmp_path: Path) -> None:
    _, secret = ring.create("reception", ["read"])
    ring.check(secret)
    state.close()
    tail = secret.rpartition("_")[2].encode()[-20:]
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert tail not in content, path


def test_two_hashes_of_one_secret_differ(ring: KeyRing, state: State) -> None:
    ring.create("a", ["read"])
    ring.create("b", ["read"])
    with state.reading() as connection:
        salts = [row["salt"] for row in connection.execute("SELECT salt FROM keys")]
    assert len(set(salts)) == 2
    assert all(len(salt) >= 16 for salt in salts)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "mien_",
        "mien_abc_def",
        "Bearer x",
        "mien_abcdefghijkl_" + "A" * 43,
        "mien_abcdefghijkl_" + "A" * 42,
        "\ud800",
    ],
)
def test_what_is_no_key(ring: KeyRing, secret: str) -> None:
    ring.create("reception", ["read"])
    assert ring.known(secret) is None
    with pytest.raises(Unauthorized, match="not known"):
        ring.check(secret)


def test_one_wrong_letter(ring: KeyRing) -> None:
    _, secret = ring.create("reception", ["read"])
    ring.check(secret)
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    with pytest.raises(WrongSecret, match="not known"):
        ring.check(wrong)
    assert ring.known(wrong) is None


def test_revoked_keys_are_refused_at_once_here_and_soon_elsewhere(ring: KeyRing, state: State) -> None:
    key, secret = ring.create("reception", ["read"])
    other = KeyRing(state)
    ring.check(secret)
    other.check(secret)
    assert ring.known(secret) is not None
    revoked = ring.revoke(key.id)
    assert revoked.revoked is not None
    assert not revoked.works
    assert ring.known(secret) is None
    with pytest.raises(Unauthorized, match="revoked"):
        ring.check(secret)
    deadline = time.monotonic() + 5
    while other.known(secret) is not None:
        assert time.monotonic() < deadline, "another worker still takes it after five seconds"
        time.sleep(0.05)
    with pytest.raises(Unauthorized, match="revoked"):
        other.check(secret)
    assert ring.revoke(key.id).revoked == revoked.revoked


def test_a_wrong_secret_is_not_told_that_the_key_was_revoked(ring: KeyRing) -> None:
    key, secret = ring.create("reception", ["read"])
    ring.revoke(key.id)
    with pytest.raises(Unauthorized, match="not known"):
        ring.check(secret[:-4] + "AAAA")


def test_keys_expire(ring: KeyRing) -> None:
    _, secret = ring.create("visitor", ["read"], expires_s=3.0)
    assert ring.check(secret).works
    assert ring.known(secret) is not None
    time.sleep(3.05)
    assert ring.known(secret) is None
    with pytest.raises(Unauthorized, match="expired"):
        ring.check(secret)


def test_a_name_is_free_again_when_its_key_has_ended(ring: KeyRing) -> None:
    key, _ = ring.create("reception", ["read"])
    with pytest.raises(BadInput, match="no key in use has"):
        ring.create("reception", ["read"])
    ring.revoke(key.id)
    ring.create("reception", ["read"], expires_s=0.01)
    time.sleep(0.02)
    ring.create("reception", ["read"])
    assert [found.works for found in ring.list()] == [False, False, True]
    assert ring.any_in_use()


@pytest.mark.parametrize(
    "values",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"expires_s": 0.0},
        {"expires_s": -1.0},
        {"expires_s": float("nan")},
        {"galleries": []},
        {"galleries": ["../other"]},
        {"galleries": ["staff"], "scopes": ["admin"]},
        {"name": ""},
        {"name": "a\nb"},
    ],
)
def test_what_makes_no_key(ring: KeyRing, values: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ring.create(**{"name": "reception", "scopes": ["read"], **values})
    assert ring.list() == []


def test_revoking_what_is_not_there(ring: KeyRing) -> None:
    with pytest.raises(BadInput, match="no key of the id"):
        ring.revoke("nobody")


def test_use_is_noted(ring: KeyRing) -> None:
    _, secret = ring.create("reception", ["read"])
    assert ring.list()[0].last_used is None
    ring.check(secret)
    used = ring.list()[0].last_used
    assert used is not None
    assert abs(used - time.time()) < 60


def test_many_at_once_are_hashed_once(ring: KeyRing) -> None:
    _, secret = ring.create("reception", ["read"])
    began = time.perf_counter()
    ring.check(secret)
    once_s = time.perf_counter() - began
    fresh = KeyRing(ring._state)
    threads = [threading.Thread(target=fresh.check, args=(secret,)) for _ in range(30)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.perf_counter() - began < 15 * once_s
    assert fresh.known(secret) is not None
