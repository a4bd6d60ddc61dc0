"""The server's settings: what they take, what they refuse, and what follows from them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mien import Settings
from mien.errors import BadSettings
from mien.server import ServerSettings
from mien.server.settings import is_loopback


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("MIEN_SERVER")]:
        monkeypatch.delenv(name)


def test_by_default_this_machine_alone_without_keys() -> None:
    settings = ServerSettings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert not settings.keys_needed
    assert set(settings.hosts) == {"127.0.0.1", "::1", "localhost"}
    assert settings.gallery == "sqlite:///mien-server/people.db"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "faces.example.org", "[2001:db8::1]"])
def test_other_addresses_need_keys(host: str) -> None:
    assert ServerSettings(host=host).keys_needed
    with pytest.raises(BadSettings, match="require_keys: expected true"):
        ServerSettings(host=host, require_keys=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)
    assert not ServerSettings(host=host).keys_needed
    assert ServerSettings(host=host, require_keys=True).keys_needed


@pytest.mark.parametrize("host", ["localhost.example.org", "127.0.0.1.example.org", "0.0.0.0", "", "128.0.0.1"])
def test_what_only_looks_like_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_every_address_is_called_by_any_name_only_with_keys() -> None:
    assert ServerSettings(host="0.0.0.0").hosts == ("*",)
    assert ServerSettings(host="0.0.0.0", trusted_hosts=("Faces.example.org",)).hosts == ("faces.example.org",)
    with pytest.raises(BadSettings, match="trusted_hosts"):
        ServerSettings(trusted_hosts=("*",))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"port": 65_536}, "port"),
        ({"workers": 0}, "workers"),
        ({"workers": 2, "gallery": "memory:"}, "workers: expected 1"),
        ({"gallery": "sqlite:///people.db?name=staff"}, "without a gallery's name"),
        ({"gallery": "sqlite:///people.db?name=default"}, "without a gallery's name"),
        ({"gallery": "nowhere"}, "gallery: expected a gallery URL"),
        ({"tls_certificate": Path("missing.pem")}, "both or neither"),
        ({"tls_certificate": Path("missing.pem"), "tls_key": Path("missing.pem")}, "expected a PEM file"),
        ({"max_body_bytes": 2000, "max_batch_bytes": 1500}, "max_batch_bytes: expected at least"),
        ({"colour": "red"}, "colour: no such setting; known: host"),
        ({"rate_per_minute": -1}, "rate_per_minute"),
    ],
)
def test_what_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSettings, match=told):
        ServerSettings(**values)


def test_a_password_is_in_no_message_and_no_repr() -> None:
    url = "postgresql://ada:verysecret@db/people"
    assert "verysecret" not in repr(ServerSettings(gallery=url))
    for values in ({"gallery": f"{url}?name=staff"}, {"gallery": f"{url}?nonsense=1"}):
        with pytest.raises(BadSettings) as raised:
            ServerSettings(**values)
        assert "verysecret" not in str(raised.value)


def test_galleries_are_beside_the_database(tmp_path: Path) -> None:
    assert ServerSettings(data=tmp_path / "a b").gallery == f"sqlite:///{tmp_path}/a%20b/people.db"
    assert ServerSettings(data=tmp_path, gallery="memory:").gallery == "memory:"


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER_PORT", "9000")
    monkeypatch.setenv("MIEN_SERVER_TRUSTED_HOSTS", '["faces.example.org"]')
    monkeypatch.setenv("MIEN_SERVER_DATA", "elsewhere")
    settings = ServerSettings(port=9001)
    assert settings.port == 9001
    assert settings.hosts == ("faces.example.org",)
    assert settings.gallery == "sqlite:///elsewhere/people.db"


def test_a_client_s_variables_are_none_of_the_server_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER", "http://127.0.0.1:8080")
    monkeypatch.setenv("MIEN_SERVER_KEY", "mien_x")
    assert ServerSettings().port == 8080
    monkeypatch.setenv("MIEN_SERVER_PORT", "9000")
    assert Settings().embedder == "sface"


def test_unknown_variables_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER_PROT", "9000")
    with pytest.raises(BadSettings, match="MIEN_SERVER_PROT"):
        ServerSettings()


def test_variables_that_are_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER_TRUSTED_HOSTS", "faces.example.org")
    with pytest.raises(BadSettings, match="expected JSON"):
        ServerSettings()


def test_workers_get_the_same_settings() -> None:
    settings = ServerSettings(port=1234, gallery="memory:", rate_burst=3)
    assert pickle.loads(pickle.dumps(settings)) == settings
