"""What the gallery tests share: the back ends of the contract suite, and templates to enroll."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from postgres_server import pgvector_server, postgres_server

from mien.galleries import Gallery, open_gallery
from mien.types import Templates

SPACE = "test@00000000"


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'people.db'}"


def encrypted_url(folder: Path) -> str:
    (folder / "key").write_text("5c" * 32)
    return f"{sqlite_url(folder)}?encrypted=yes&key_file={folder / 'key'}"


def milvus_url(folder: Path) -> str:
    pytest.importorskip("pymilvus", reason="needs pymilvus: pip install 'mien[milvus]'")
    pytest.importorskip(
        "milvus_lite.adapter.grpc.server", reason="needs milvus-lite 3.2: pip install 'milvus-lite>=3.2'"
    )
    return f"milvus:///{folder / 'people.milvus'}"


def postgres_url(folder: Path) -> str:
    server = postgres_server()
    return server.url(server.emptied_database())


def pgvector_url(folder: Path) -> str:
    server = pgvector_server()
    return f"{server.url(server.emptied_database())}?engine=pgvector"


BACK_ENDS: dict[str, Callable[[Path], str]] = {
    "memory": lambda folder: "memory:",
    "sqlite": sqlite_url,
    "sqlite-int8": lambda folder: f"{sqlite_url(folder)}?codec=int8&audit=all",
    "sqlite-encrypted": encrypted_url,
    "postgresql": postgres_url,
    "pgvector": pgvector_url,
    "milvus": milvus_url,
}
"""Every back end, as what makes the URL of a new gallery in a folder; a new one belongs here and nowhere else."""

LASTING = [name for name in BACK_ENDS if name != "memory"]
"""The back ends whose galleries outlive their closing, and may be opened twice."""


@dataclass(frozen=True)
class BackEnd:
    """One kind of gallery, by its URL."""

    url: str

    def open(self, options: str = "") -> Gallery:
        return open_gallery(with_options(self.url, options))


def with_options(url: str, options: str) -> str:
    """The URL with more options, such as ``fusion=mean&name=staff``."""
    return f"{url}{'&' if '?' in url else '?'}{options}" if options else url


def faces(count: int, seed: int = 0, dimension: int = 16, space: str = SPACE) -> Templates:
    """Templates of random direction, the same for the same seed."""
    raw = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return Templates.normalized(raw, space)
