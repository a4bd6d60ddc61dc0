"""Renaming in Milvus, where a name stands on each template, and who renames many may die at it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from gallery_cases import faces, milvus_url
from milvus_places import processes

from mien.errors import BadInput
from mien.galleries import open_gallery
from mien.galleries.milvus import enrolling
from mien.galleries.milvus.connection import Connection

COUNT = 12


def rename_and_be_killed(url: str, at: int) -> None:
    """Rename in many small requests, and die before the one of number ``at``."""
    enrolling._REQUEST_BYTES = 1000
    replace, left = Connection.replace, iter(range(at))

    def deadly(connection: Connection, collection: str, rows: list[dict[str, object]]) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(connection, collection, rows)

    Connection.replace = deadly  # type: ignore[method-assign,assignment]
    with open_gallery(url) as gallery:
        gallery.rename("Ada", "Bob", merge=True)


@pytest.mark.parametrize("at", [0, 1, 3, 6])
def test_the_next_one_finishes_it(tmp_path: Path, at: int) -> None:
    url = milvus_url(tmp_path)
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(COUNT), tags=["staff", "founder"])
        gallery.add("Bob", faces(3, seed=1), tags=["guest"])
        ids = gallery.templates("Bob")[0] + gallery.templates("Ada")[0]
    process = processes.Process(target=rename_and_be_killed, args=(url, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with open_gallery(url) as gallery:
        assert gallery.identities() == [("Bob", COUNT + 3)]
        assert gallery.tags("Bob") == ["founder", "guest", "staff"]
        assert gallery.templates("Bob")[0] == sorted(ids)
        assert gallery.search(faces(1), tags=["guest"])[0][0].identity == "Bob"
        assert gallery.rename("Bob", "Cleo") == COUNT + 3
        assert gallery.check() == []  # type: ignore[attr-defined]


def test_many_requests_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolling, "_REQUEST_BYTES", 1000)
    with open_gallery(milvus_url(tmp_path)) as gallery:
        gallery.add("Ada", faces(COUNT))
        assert gallery.rename("Ada", "Bob") == COUNT
        gallery.add("Ada", faces(1, seed=1))
        assert gallery.identities() == [("Ada", 1), ("Bob", COUNT)]


def test_too_many_tags_together_are_refused(tmp_path: Path) -> None:
    with open_gallery(milvus_url(tmp_path)) as gallery:
        gallery.add("Ada", faces(1), tags=[f"a{i}" for i in range(600)])
        gallery.add("Bob", faces(1, seed=1), tags=[f"b{i}" for i in range(600)])
        with pytest.raises(BadInput, match="at most 1024"):
            gallery.rename("Ada", "Bob", merge=True)
        assert gallery.identities() == [("Ada", 1), ("Bob", 1)]
