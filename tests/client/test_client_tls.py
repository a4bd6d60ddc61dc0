"""TLS: a server's certificate is checked, by one's own authority too."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien import Client
from mien.errors import ConnectionLost


def test_certificates_are_checked(make_server: Callable[..., Any], tmp_path: Path) -> None:
    # It lies with the server's tests, whose folder the fixtures have put on the path.
    certificate, key = importlib.import_module("certificates").self_signed(tmp_path)
    server = make_server(tls_certificate=certificate, tls_key=key)
    assert server.url.startswith("https://")
    with Client(server.url, retries=9) as client, pytest.raises(ConnectionLost, match="certificate is not trusted"):
        client.version()  # at once: another try would change nothing
    with Client(server.url, verify=certificate) as client:
        assert client.version().record["space"]
    with Client(server.url, verify=False) as client:
        assert client.version().record["space"]


def test_a_server_without_tls_is_no_matter_of_certificates(server: Any) -> None:
    url = server.url.replace("http:", "https:")
    with (
        Client(url, retries=9) as client,
        pytest.raises(ConnectionLost, match=r"no TLS connection: .*http://") as raised,
    ):
        client.version()
    assert "certificate" not in raised.value.message
