"""Who is at work, where one process works for many."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from gallery_cases import faces, sqlite_url, with_options

from mien.errors import BadInput
from mien.galleries import SqlGallery, acting_as, open_gallery


def opened(folder: Path) -> SqlGallery:
    gallery = open_gallery(with_options(sqlite_url(folder), "actor=server&audit=all"))
    assert isinstance(gallery, SqlGallery)
    return gallery


def actors(gallery: SqlGallery) -> list[str]:
    return [entry.actor for entry in gallery.audit_log()]


def test_entries_name_who_is_at_work(tmp_path: Path) -> None:
    with opened(tmp_path) as gallery:
        gallery.add("Ada", faces(1))
        with acting_as("key:reception"):
            gallery.add("Bob", faces(1, seed=1))
            with acting_as("key:guard"):
                gallery.search(faces(1))
            gallery.rename("Bob", "Cleo")
        gallery.remove_identity("Ada")
        assert actors(gallery) == ["server", "key:reception", "key:guard", "key:reception", "server"]


def test_it_ends_with_an_error(tmp_path: Path) -> None:
    with opened(tmp_path) as gallery:
        with pytest.raises(RuntimeError), acting_as("key:reception"):
            raise RuntimeError
        gallery.add("Ada", faces(1))
        assert actors(gallery) == ["server"]


def test_each_task_and_each_thread_has_its_own(tmp_path: Path) -> None:
    async def enroll(gallery: SqlGallery, worker: int) -> None:
        with acting_as(f"key:{worker}"):
            await asyncio.sleep(0.001 * (worker % 3))
            await asyncio.to_thread(gallery.add, f"{worker}", faces(1, seed=worker))

    async def all_of_them(gallery: SqlGallery) -> None:
        await asyncio.gather(*(enroll(gallery, worker) for worker in range(8)))

    with opened(tmp_path) as gallery:
        asyncio.run(all_of_them(gallery))
        assert {(e.actor, e.identity) for e in gallery.audit_log()} == {(f"key:{i}", f"{i}") for i in range(8)}
        with acting_as("key:reception"):
            thread = threading.Thread(target=gallery.add, args=("Ada", faces(1)))
            thread.start()
            thread.join()
        assert actors(gallery)[-1] == "server"


@pytest.mark.parametrize("actor", ["", " ", "a\nb", "x" * 1001])
def test_unfit_actors_are_refused(actor: str) -> None:
    with pytest.raises(BadInput, match="actor"), acting_as(actor):
        pass
