"""What the server's tests share: servers, started and stopped, and the demo's portraits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from server_cases import AppClient, Running, app_of, running, settings_in

import mien
from mien.images.samples import Samples


@pytest.fixture
def server(tmp_path: Path, real: mien.Recognizer) -> Iterator[Running]:
    """A real server on loopback that needs no keys, with empty galleries."""
    with running(settings_in(tmp_path), real) as started:
        yield started


@pytest.fixture
def keyed_server(tmp_path: Path, real: mien.Recognizer) -> Iterator[Running]:
    """As ``server``, and every request needs a key."""
    with running(settings_in(tmp_path, require_keys=True), real) as started:
        yield started


@pytest.fixture
def app_client(tmp_path: Path, real: mien.Recognizer) -> Iterator[AppClient]:
    """The application without a socket; it needs no keys and its galleries are empty."""
    with app_of(settings_in(tmp_path), real) as client:
        yield client


@pytest.fixture
def make_server(tmp_path: Path, real: mien.Recognizer) -> Iterator[Callable[..., Running]]:
    """Starts servers with settings of the test's own; they stop at its end."""
    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(running(settings_in(tmp_path, **values), real))


@pytest.fixture(scope="session")
def portraits(samples: Samples) -> dict[str, bytes]:
    """The demo's portraits: two of one man, one of another, one of a woman, and a group, by name."""
    paths = {
        "obama": samples.obama[0],
        "obama2": samples.obama[1],
        "biden": samples.biden,
        "astronaut": samples.astronaut,
        "group": samples.group,
    }
    return {name: path.read_bytes() for name, path in paths.items()}
