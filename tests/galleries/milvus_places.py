"""Where the Milvus tests keep their galleries: a file of milvus-lite, or a server that several processes talk to."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymilvus", reason="needs pymilvus: pip install 'mien[milvus]'")
pytest.importorskip("milvus_lite.adapter.grpc.server", reason="needs milvus-lite 3.2: pip install 'milvus-lite>=3.2'")

# Forked from a server process that has imported all that is slow to import, and has no threads that a fork would lose.
processes: Any = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["pytest", "pymilvus", "milvus_lite.adapter.grpc.server", "mien.galleries.milvus"])


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of a Milvus server, which is milvus-lite with one call at a time: it does not lock its files itself."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(data_dir=str(folder), port=0, max_workers=1)
    try:
        yield f"milvus://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        database.close()
