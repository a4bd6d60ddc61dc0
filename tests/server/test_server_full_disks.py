"""Jobs on disks that are full: real file systems of a few megabytes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_cases import running, settings_in
from small_disk import fill, small_disk

import mien
from mien.server.job_records import Item, Job, JobRecords

WAIT_S = 60.0


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while (job := client.get(f"/v1/jobs/{job_id}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return dict(job)


def test_an_upload_that_the_disk_does_not_take_is_refused_and_leaves_nothing(
    tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes]
) -> None:
    gallery = f"sqlite:///{tmp_path}/people.db"
    with small_disk(tmp_path / "disk", 3) as disk, running(settings_in(disk, gallery=gallery), real) as server:
        files = [("images", (f"A/{number}.jpg", bytes(1_000_000))) for number in range(6)]
        with server.client() as client:
            answer = client.post("/v1/jobs/enroll", files=files)
            assert answer.status_code == 507, answer.text
            assert answer.json()["code"] == "output_error"
            assert str(tmp_path) not in answer.text
            assert list((disk / "server" / "spool").iterdir()) == []
            assert client.get("/v1/jobs").json() == {"jobs": []}
            files = [("images", ("Biden/1.jpg", portraits["biden"]))]
            job = ended(client, client.post("/v1/jobs/enroll", files=files).json()["id"])
            assert (job["state"], job["failed"]) == ("done", 0)


def test_a_job_whose_gallery_is_full_fails_and_says_so(
    tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes]
) -> None:
    files = [("images", ("Biden/1.jpg", portraits["biden"])), ("images", ("Obama/1.jpg", portraits["obama"]))]
    with small_disk(tmp_path / "disk", 2) as disk:
        settings = settings_in(tmp_path, gallery=f"sqlite:///{disk}/people.db")
        with running(settings, real) as server, server.client() as client:
            assert client.get("/v1/galleries").status_code == 200
            filler = fill(disk)
            job = ended(client, client.post("/v1/jobs/enroll", files=files).json()["id"])
            assert (job["state"], job["done"]) == ("failed", 0)
            assert job["error"]["message"] == "the disk is full"
            assert list((settings.data / "spool").iterdir()) == []
            filler.unlink()
            job = ended(client, client.post("/v1/jobs/enroll", files=files).json()["id"])
            assert (job["state"], job["done"], job["failed"]) == ("done", 2, 0)
            assert dict(server.services.places.get("default").identities()) == {"Biden": 1, "Obama": 1}


def test_a_job_ends_and_stores_nothing_twice_where_the_servers_own_database_is_full(
    tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [("images", (f"Biden/{number}.jpg", portraits["biden"])) for number in range(24)]
    gallery = f"sqlite:///{tmp_path}/people.db"
    window = JobRecords.window

    def late(records: JobRecords, job: Job, size: int) -> list[Item]:
        time.sleep(0.1)
        return window(records, job, size)

    monkeypatch.setattr(JobRecords, "window", late)
    with (
        small_disk(tmp_path / "disk", 12) as disk,
        running(settings_in(disk, gallery=gallery, batch=1), real) as server,
        server.client() as client,
    ):
        job_id = client.post("/v1/jobs/enroll", files=files).json()["id"]
        filler = fill(disk)
        time.sleep(1.0)
        filler.unlink()
        job = ended(client, job_id)
        # What the files of the images took is free by then, so that there is room to say what happened.
        assert (job["state"], job["error"]["message"]) == ("failed", "the disk is full")
        assert job["done"] <= len(server.services.places.get("default")) <= job["done"] + 1
        assert list((disk / "server" / "spool").iterdir()) == []
