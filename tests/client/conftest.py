"""The client's tests run against a real server: the fixtures of the server's own tests."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from mien import Client

# By name: this file is type-checked by itself, as all files called conftest but one are.
_FIXTURES = importlib.import_module("served").server_fixtures()
keyed_server = _FIXTURES.keyed_server
make_server = _FIXTURES.make_server
server = _FIXTURES.server


@pytest.fixture
def client(server: Any) -> Iterator[Client]:
    """A client of a fresh server that needs no keys."""
    with Client(server.url) as made:
        yield made
