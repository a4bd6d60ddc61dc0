"""Encryption at rest: keys, seals that break when anything is changed, and rotation."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.errors import BadGallery, BadInput, BadKey, GalleryError, KeyMissing, MissingExtra
from mien.galleries.vault import KEY_VARIABLE, Vault, read_key

KEY = bytes(range(100, 132))
OTHER = bytes(range(132, 164))
HERE = "template 17 of gallery 2"
DATA = b"a template's numbers" * 26


@pytest.fixture
def vault() -> Vault:
    return Vault.create(KEY)[0]


@pytest.mark.parametrize("data", [b"", b"a", DATA], ids=len)
def test_what_is_sealed_comes_back(vault: Vault, data: bytes) -> None:
    sealed = vault.seal(data, HERE)
    assert len(sealed) == len(data) + 28
    assert vault.unseal(sealed, HERE) == data


def test_what_is_sealed_is_hidden(vault: Vault) -> None:
    sealed = vault.seal(DATA, HERE)
    assert DATA[:8] not in sealed
    assert HERE.encode() not in sealed


def test_many_are_sealed_as_one_by_one(vault: Vault) -> None:
    data = [DATA[:i] for i in range(40)]
    places = [f"template {i}" for i in range(40)]
    sealed = vault.seal_many(data, iter(places))
    assert vault.unseal_many(sealed, iter(places)) == data
    assert [vault.unseal(piece, place) for piece, place in zip(sealed, places, strict=True)] == data
    assert vault.seal_many([], []) == vault.unseal_many([], []) == []


@pytest.mark.parametrize("position", [0, 11, 12, 30, -17, -16, -1])
def test_any_changed_byte_is_found(vault: Vault, position: int) -> None:
    sealed = bytearray(vault.seal(DATA, HERE))
    sealed[position] ^= 1
    with pytest.raises(BadGallery, match="template 17 of gallery 2: what is stored there was changed"):
        vault.unseal(bytes(sealed), HERE)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27, 28, -1])
def test_any_cut_is_found(vault: Vault, length: int) -> None:
    with pytest.raises(BadGallery, match="template 17"):
        vault.unseal(vault.seal(DATA, HERE)[:length], HERE)


@pytest.mark.parametrize("stored", [None, "text", 7])
def test_what_is_no_bytes_is_damage(vault: Vault, stored: object) -> None:
    with pytest.raises(BadGallery, match="template 17"):
        vault.unseal(stored, HERE)  # type: ignore[arg-type]


def test_two_pieces_that_change_places_are_found(vault: Vault) -> None:
    places = ["template 1", "template 2", "template 3"]
    first, second, third = vault.seal_many([b"one", b"two", b"three"], places)
    with pytest.raises(BadGallery, match="template 2: "):
        vault.unseal_many([first, third, second], places)


def test_as_many_contexts_as_pieces(vault: Vault) -> None:
    for call in (vault.seal_many, vault.unseal_many):
        for places in ([], [HERE, HERE]):
            with pytest.raises(BadInput, match=r"one a piece \(1\)"):
                call([DATA], places)


def test_another_vault_opens_nothing(vault: Vault) -> None:
    another, _ = Vault.create(KEY)
    with pytest.raises(BadGallery):
        another.unseal(vault.seal(DATA, HERE), HERE)
    assert another.fingerprint("Ada", "name") != vault.fingerprint("Ada", "name")


def test_a_nonce_never_comes_twice(vault: Vault) -> None:
    sealed = [vault.seal(b"x", HERE) for _ in range(20_000)]
    sealed += vault.seal_many([b"x"] * 100_000, [HERE] * 100_000)
    assert len({piece[:12] for piece in sealed}) == 120_000


def test_the_stored_key_opens_what_was_sealed() -> None:
    vault, wrapped = Vault.create(KEY)
    reopened = Vault.open(KEY, wrapped, "people.db")
    assert reopened.unseal(vault.seal(DATA, HERE), HERE) == DATA
    assert reopened.fingerprint("Ada", "name") == vault.fingerprint("Ada", "name")
    assert KEY not in wrapped


def test_a_wrong_key_is_told_from_damage() -> None:
    _, wrapped = Vault.create(KEY)
    with pytest.raises(BadKey, match=r"people\.db: this is not the key") as caught:
        Vault.open(OTHER, wrapped, "people.db")
    assert caught.value.code == "bad_key"
    assert isinstance(caught.value, GalleryError)
    for position in range(9, len(wrapped)):
        damaged = wrapped[:position] + bytes([wrapped[position] ^ 1]) + wrapped[position + 1 :]
        with pytest.raises(BadGallery, match="the key is right, but"):
            Vault.open(KEY, damaged, "people.db")


@pytest.mark.parametrize("change", [lambda w: b"", lambda w: w[:-1], lambda w: w + b"x", lambda w: b"\x02" + w[1:]])
def test_a_wrapped_key_of_another_form_is_refused(change: Callable[[bytes], bytes]) -> None:
    _, wrapped = Vault.create(KEY)
    with pytest.raises(BadGallery, match=r"people\.db: expected a wrapped data key of 101 bytes in format 1"):
        Vault.open(KEY, change(wrapped), "people.db")


def test_rotation_keeps_all_that_is_sealed() -> None:
    vault, wrapped = Vault.create(KEY)
    sealed = vault.seal(DATA, HERE)
    rotated = Vault.open(KEY, wrapped, "p").rewrapped(OTHER)
    assert Vault.open(OTHER, rotated, "p").unseal(sealed, HERE) == DATA
    with pytest.raises(BadKey):
        Vault.open(KEY, rotated, "p")


@pytest.mark.parametrize("key", [b"", b"short", KEY[:-1], KEY + b"x"])
def test_a_key_has_32_bytes(key: bytes) -> None:
    vault, wrapped = Vault.create(KEY)
    for call in (lambda: Vault.create(key), lambda: Vault.open(key, wrapped, "p"), lambda: vault.rewrapped(key)):
        with pytest.raises(BadKey, match=f"expected a key of 32 bytes, got {len(key)}"):
            call()


def test_fingerprints_differ_by_purpose_and_text(vault: Vault) -> None:
    prints = [vault.fingerprint(text, purpose) for text in ("Ada", "ada", "", "山田") for purpose in ("name", "tag")]
    assert len(set(prints)) == len(prints)
    assert all(len(bytes.fromhex(one)) == 32 for one in prints)
    assert vault.fingerprint("Ada", "name") == prints[0]


def test_a_vault_shows_no_key(vault: Vault) -> None:
    assert "key" not in repr(vault)


HEX = KEY.hex()
BASE64 = base64.b64encode(KEY).decode()
URL_SAFE_KEY = bytes([0xFB, 0xEF, 0xFF]) * 10 + b"\xfb\xff"
URL_SAFE = base64.urlsafe_b64encode(URL_SAFE_KEY).decode()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (HEX, KEY),
        (HEX.upper(), KEY),
        (f" {HEX}\r\n", KEY),
        (BASE64, KEY),
        (BASE64.rstrip("="), KEY),
        (f"\n{BASE64}\n", KEY),
        (URL_SAFE, URL_SAFE_KEY),
    ],
)
def test_a_key_is_read_from_text(text: str, key: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    assert read_key(str(file), {}) == key
    assert read_key(None, {KEY_VARIABLE: text}) == key


@pytest.mark.parametrize("key", [KEY, bytes(32), b" " * 31 + b"\n", b"\n" + bytes(range(200, 230)) + b"\xff"])
def test_a_key_is_read_from_32_bytes(key: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(key)
    assert read_key(str(file), {}) == key


def test_the_file_goes_before_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY)
    assert read_key(str(file), {KEY_VARIABLE: OTHER.hex()}) == KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"secret",
        b"correct horse battery staple 123",
        HEX[:32].encode(),
        HEX[:-1].encode(),
        (HEX + "00").encode(),
        BASE64[:-2].encode(),
        KEY + b"\n",
        KEY * 100,
        ("é" * 32).encode(),
    ],
)
def test_what_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(BadKey, match=r"key: expected 32 random bytes.*openssl rand -hex 32") as caught:
        read_key(str(file), {})
    assert len(content) < 3 or content.decode(errors="replace")[:6] not in str(caught.value)


def test_a_variable_that_is_no_key_is_refused() -> None:
    for text in ("secret", "é" * 32, "\udcff" * 32, HEX[:32]):
        with pytest.raises(BadKey, match=f"the variable {KEY_VARIABLE}: expected 32"):
            read_key(None, {KEY_VARIABLE: text})


def test_a_missing_key_names_both_ways(tmp_path: Path) -> None:
    for environ in ({}, {KEY_VARIABLE: " \n"}):
        with pytest.raises(KeyMissing, match=f"key_file=PATH in the URL.*{KEY_VARIABLE}") as caught:
            read_key(None, environ)
        assert caught.value.code == "key_missing"
    for path in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(KeyMissing, match=r"cannot be read: [A-Z t][a-z ]+$") as caught:
            read_key(str(path), {KEY_VARIABLE: HEX})
        assert str(caught.value).count(str(path)) == 1


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[encryption\]'"):
        Vault.create(KEY)
