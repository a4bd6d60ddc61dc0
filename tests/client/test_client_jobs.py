"""Jobs of a real server, begun, watched and stopped by the client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mien import AsyncClient, Client
from mien.errors import BadInput, GalleryNotFound, JobNotFound
from mien.images.samples import Samples

LONGEST_S = 60.0


def test_a_job_enrolls_many_people(client: Client, samples: Samples, tmp_path: Path) -> None:
    nobody = tmp_path / "nobody.png"
    Image.new("RGB", (200, 200), (90, 120, 90)).save(nobody)
    items: list[tuple[str, Any]] = [
        ("Barack Obama", samples.obama[0]),
        ("Barack Obama", samples.obama[1].read_bytes()),
        ('Zoë \N{GRINNING FACE} "x"', samples.biden),
        ("Nobody", nobody),
    ]
    begun = client.start_enrolling("default", items, tags=["batch"])
    assert (begun.kind, begun.gallery, begun.total) == ("enroll", "default", 4)
    ended = client.wait(begun.id, timeout_s=LONGEST_S)
    assert (ended.state, ended.done, ended.failed, ended.over) == ("done", 4, 1, True)
    (failure,) = ended.failures
    assert (failure["identity"], failure["error"]["code"]) == ("Nobody", "no_face")
    people = client.gallery()
    assert people.identities() == [("Barack Obama", 2), ('Zoë \N{GRINNING FACE} "x"', 1)]
    assert people.tags("Barack Obama") == ["batch"]
    assert [job.id for job in client.jobs()] == [begun.id]


def test_what_cannot_be_begun(client: Client, samples: Samples) -> None:
    with pytest.raises(BadInput):
        client.start_enrolling("default", [])
    with pytest.raises(BadInput):
        client.start_enrolling("default", [("a/b", samples.biden)])
    with pytest.raises(GalleryNotFound):
        client.start_enrolling("nowhere", [("A", samples.biden)])
    for call in (client.job, client.cancel_job):
        with pytest.raises(JobNotFound):
            call("00000000000000000000000000000000")
        with pytest.raises(BadInput):
            call("../galleries/default")


def test_a_job_is_stopped(client: Client, samples: Samples) -> None:
    photo = samples.biden.read_bytes()
    begun = client.start_enrolling("default", [("Joe Biden", photo) for _ in range(40)])
    client.cancel_job(begun.id)
    ended = client.wait(begun.id, timeout_s=LONGEST_S)
    assert ended.state == "canceled"
    assert ended.done < 40
    assert len(client.gallery()) <= ended.done


def test_the_async_client_waits_too(server: Any, samples: Samples) -> None:
    async def work() -> str:
        async with AsyncClient(server.url) as client:
            begun = await client.start_enrolling("default", [("Joe Biden", samples.biden)])
            return (await client.wait(begun.id, timeout_s=LONGEST_S)).state

    assert asyncio.run(work()) == "done"
