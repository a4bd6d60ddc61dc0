"""``kill -9`` of a real ``mien serve``: what was answered is there, and nothing is there twice."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from server_process import different_photos, free_port, serving

import mien

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")

IMAGES = 36
KILLS = 3
GIVEN_UP_S = 180.0


def test_every_enrollment_that_was_answered_is_there_and_none_twice(
    tmp_path: Path, portraits: dict[str, bytes]
) -> None:
    photos = different_photos([portraits[name] for name in ("obama", "obama2", "biden")], IMAGES)
    port, data = free_port(), tmp_path / "data"
    answered: dict[int, int] = {}
    more = threading.Condition()
    over = threading.Event()

    def enroll(number: int) -> None:
        """Send until there is an answer, with one key, as a careful client does."""
        deadline = time.monotonic() + GIVEN_UP_S
        headers = {"Idempotency-Key": f"photo-{number}", "Content-Type": "image/jpeg"}
        query = {"identity": f"person {number % 5}", "face": "largest"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as client:
            while True:
                assert time.monotonic() < deadline
                assert not over.is_set(), "the test has failed elsewhere"
                try:
                    answer = client.post(
                        "/v1/galleries/default/enroll", params=query, content=photos[number], headers=headers
                    )
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                if answer.status_code == 503:
                    time.sleep(0.2)
                    continue
                assert answer.status_code == 200, answer.text
                break
        with more:
            answered[number] = answer.json()["results"][0]["template_id"]
            more.notify_all()

    with ThreadPoolExecutor(6) as pool, contextlib.ExitStack() as stack:
        # Else the pool would wait for clients of a server that does not come back.
        stack.callback(over.set)
        sent = [pool.submit(enroll, number) for number in range(IMAGES)]
        for kill in range(KILLS):
            with serving(data, port) as server, more:
                deadline = time.monotonic() + GIVEN_UP_S
                while len(answered) < (kill + 1) * IMAGES // (KILLS + 1):
                    assert more.wait(deadline - time.monotonic()), [one.exception() for one in sent if one.done()]
                server.kill()
        with serving(data, port) as server:
            for one in sent:
                one.result()
            for number in range(3):
                first = answered[number]
                enroll(number)
                assert answered[number] == first
            assert server.stop() == 0
    with mien.open_gallery(f"sqlite:///{data}/people.db") as gallery:
        assert len(gallery) == IMAGES
        for person in range(5):
            mine = {answered[number] for number in range(IMAGES) if number % 5 == person}
            assert set(gallery.templates(f"person {person}")[0]) == mine


def test_a_job_goes_on_after_a_kill_and_enrolls_each_image_once(tmp_path: Path, portraits: dict[str, bytes]) -> None:
    photos = different_photos([portraits[name] for name in ("obama", "biden")], IMAGES)
    # The same photo twice for the same person is two templates, killed or not.
    photos[1] = photos[5] = photos[9]
    port, data = free_port(), tmp_path / "data"
    files = [
        ("images", (f"person {number % 4}/{number}.jpg", photo, "image/jpeg")) for number, photo in enumerate(photos)
    ]
    with serving(data, port) as server, server.client() as client:
        job_id = client.post("/v1/jobs/enroll", files=files).json()["id"]
        while client.get(f"/v1/jobs/{job_id}").json()["done"] == 0:
            time.sleep(0.01)
        server.kill()
    with serving(data, port) as server, server.client() as client:
        deadline = time.monotonic() + GIVEN_UP_S
        while (job := client.get(f"/v1/jobs/{job_id}").json())["state"] not in ("done", "failed"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (job["state"], job["done"], job["failed"]) == ("done", IMAGES, 0)
        assert list((data / "spool").iterdir()) == []
        assert server.stop() == 0
    with mien.open_gallery(f"sqlite:///{data}/people.db") as gallery:
        assert gallery.identities() == [(f"person {person}", IMAGES // 4) for person in range(4)]


# The process ends right behind the gallery's commit and before the job's own: the moment that is hard to hit from afar.
DIES = """
import os, signal, sys
from pathlib import Path
import mien
from mien.server import ServerSettings
from mien.server.job_records import Item, JobRecords
from mien.server.jobs import SCHEMA, Jobs
from mien.server.metrics import Meters
from mien.server.places import Places
from mien.server.state import State

data, photo, when = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if when != "never":
    mark = JobRecords.mark
    calls = iter(range(100))
    def die(*given):
        if next(calls) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        mark(*given)
    JobRecords.mark = die
settings = ServerSettings(data=data, batch=int(sys.argv[4]), gallery=f"sqlite:///{data}/people.db")
state = State(data / "server.db", [SCHEMA])
places = Places(settings.gallery)
jobs = Jobs(state, settings, mien.Recognizer().warmup(), places, Meters(settings))
if when == "first":
    job = jobs.begin("enroll", "default", "local", {"face": "single", "tags": []})
    folder = jobs.spool.make(job.id)
    for number in range(10):
        (folder / f"{number}.image").write_bytes(photo.read_bytes())
    jobs.submit(job, [Item(number, f"{number}.jpg", "Ada", f"{number}.image") for number in range(10)])
jobs.start()
while jobs.newest()[0].state != "done":
    jobs.closing.wait(0.05)
print(jobs.newest()[0].done, len(places.get("default")))
jobs.close()
"""


@pytest.mark.parametrize("batches", [(4, 4, 4), (4, 2, 3), (2, 4, 16)])
def test_a_process_that_dies_between_the_gallery_and_the_job_stores_nothing_twice(
    tmp_path: Path, portraits: dict[str, bytes], batches: tuple[int, int, int]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(different_photos([portraits["biden"]], 1)[0])
    data = tmp_path / "data"
    done = []
    for when, batch in zip(("first", "then", "never"), batches, strict=True):
        command = [sys.executable, "-c", DIES, str(data), str(photo), when, str(batch)]
        done.append(subprocess.run(command, capture_output=True, text=True, check=False, timeout=GIVEN_UP_S))
        if done[-1].returncode == 0:
            break
    assert done[0].returncode == -9, done[0].stderr
    assert done[-1].stdout.split() == ["10", "10"], done[-1].stderr
