"""Jobs through a real server: many images enrolled, migration, cancel, failures, files that are gone at the end."""

from __future__ import annotations

import io
import json
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_cases import Running, running, settings_in

import mien
from mien.galleries import GalleryOptions
from mien.server.job_records import Item, Job, JobRecords

WAIT_S = 60.0
ENDED = ("done", "failed", "canceled")


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in ENDED:
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job has not ended: {job}")


def form(images: list[tuple[str, bytes]]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (name, data, "image/jpeg")) for name, data in images]


def zipped(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return made.getvalue()


def spooled(server: Running) -> list[Path]:
    return sorted((server.settings.data / "spool").rglob("*"))


def enrolled(server: Running, gallery: str = "default") -> dict[str, int]:
    return dict(server.services.places.get(gallery).identities())


def test_images_are_enrolled_by_their_folders_and_failures_are_listed(
    server: Running, portraits: dict[str, bytes]
) -> None:
    images = [
        ("people/Barack Obama/1.jpg", portraits["obama"]),
        ("people/Barack Obama/2.jpg", portraits["obama2"]),
        ("people/Ünal Şahin/1.jpg", portraits["biden"]),
        ("people/Crowd/1.jpg", portraits["group"]),
        ("people/Nobody/1.jpg", b"no image"),
        ("loose.jpg", portraits["biden"]),
        ("people/.DS_Store", b"x"),
    ]
    with server.client() as client:
        answer = client.post("/v1/jobs/enroll", files=form(images))
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert (job["kind"], job["gallery"], job["caller"], job["total"]) == ("enroll", "default", "local", 6)
        job = ended(client, job["id"])
    assert (job["state"], job["done"], job["failed"], job["error"]) == ("done", 6, 3, None)
    assert job["created"] <= job["started"] <= job["ended"]
    codes = {failure["item"]: failure["error"]["code"] for failure in job["failures"]}
    assert codes == {
        "people/Crowd/1.jpg": "several_faces",
        "people/Nobody/1.jpg": "bad_image",
        "loose.jpg": "bad_input",
    }
    assert enrolled(server) == {"Barack Obama": 2, "Ünal Şahin": 1}
    assert spooled(server) == []


def test_an_archive_gives_what_its_files_would_and_options_hold(server: Running, portraits: dict[str, bytes]) -> None:
    entries = [("Obama/1.jpg", portraits["obama"]), ("loose.jpg", portraits["biden"]), ("__MACOSX/Obama/._1.jpg", b"x")]
    query: dict[str, Any] = {"identity": "Somebody", "tags": ["day", "north"], "face": "largest"}
    with server.client() as client:
        as_body = client.post(
            "/v1/jobs/enroll", params=query, content=zipped(entries), headers={"Content-Type": "application/zip"}
        )
        assert as_body.status_code == 202, as_body.text
        in_form = client.post(
            "/v1/jobs/enroll", files={"images": ("a.zip", zipped(entries))}, data={"identity": "Other"}
        )
        for answer in (as_body, in_form):
            job = ended(client, answer.json()["id"])
            assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 2, 0, 2)
    gallery = server.services.places.get("default")
    assert gallery.identities() == [("Obama", 2), ("Other", 1), ("Somebody", 1)]
    assert gallery.tags("Somebody") == ["day", "north"]
    assert gallery.tags("Other") == []
    direct = server.services.recognizer.analyze(portraits["biden"]).templates.vectors
    assert abs(gallery.templates("Somebody")[1].vectors - direct).max() < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/mien-traversal/x.jpg",
        "/etc/mien-traversal/x.jpg",
        "..\\..\\mien-traversal\\x.jpg",
        "C:/x/x.jpg",
    ],
)
def test_names_in_archives_are_names_and_no_paths(
    server: Running, portraits: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    before = set(tmp_path.rglob("*"))
    with server.client() as client:
        for upload in (form([(name, portraits["biden"])]), {"images": ("a.zip", zipped([(name, portraits["biden"])]))}):
            job = ended(client, client.post("/v1/jobs/enroll", files=upload).json()["id"])
            assert (job["state"], job["failed"]) == ("done", 0)
    known = name.replace("\\", "/").split("/")[-2]
    assert enrolled(server) == {known: 2}
    assert not Path("/tmp/mien-traversal").exists()
    assert not Path("/etc/mien-traversal").exists()
    assert [path for path in tmp_path.rglob("*") if path not in before and path.suffix in (".jpg", ".image")] == []


def test_bombs_cost_no_more_than_their_own_size(
    make_server: Callable[..., Running], portraits: dict[str, bytes]
) -> None:
    """An entry of 40 MB of zeros in 40 KB, one that lies about its size, an encrypted one, and a list of 200,000."""
    server = make_server(max_body_bytes=1_000_000, max_batch_bytes=10_000_000)
    lying = bytearray(zipped([("B/lies.jpg", bytes(50_000))]))
    place = lying.rfind(b"PK\x01\x02")
    lying[place + 24 : place + 28] = (100).to_bytes(4, "little")
    sealed = bytearray(zipped([("C/sealed.jpg", portraits["obama"])], zipfile.ZIP_STORED))
    for magic, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        sealed[sealed.rfind(magic) + offset] |= 1
    bombs = {"A": zipped([("A/zeros.jpg", bytes(40_000_000))]), "B": bytes(lying), "C": bytes(sealed)}
    with server.client() as client:
        for bomb in bombs.values():
            answer = client.post("/v1/jobs/enroll", content=bomb, headers={"Content-Type": "application/zip"})
            assert answer.status_code == 202, answer.text
            job = ended(client, answer.json()["id"])
            assert (job["state"], job["failed"], job["total"]) == ("done", 1, 1)
            assert job["failures"][0]["error"]["code"] == "bad_image"
        long = zipped([(f"D/{number}", b"") for number in range(100_001)], zipfile.ZIP_STORED)
        refused = client.post("/v1/jobs/enroll", content=long[:10_000_000], headers={"Content-Type": "application/zip"})
        assert refused.status_code in (413, 422)
        answer = client.post("/v1/jobs/enroll", content=b"PK no archive", headers={"Content-Type": "application/zip"})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")
        many = zipped([(f"E/{number}.jpg", bytes(900_000)) for number in range(200)])
        answer = client.post("/v1/jobs/enroll", content=many, headers={"Content-Type": "application/zip"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert spooled(server) == []
    assert enrolled(server) == {}


def test_bodies_that_are_no_upload_leave_nothing(server: Running, portraits: dict[str, bytes]) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    half = b'--x\r\nContent-Disposition: form-data; name="images"; filename="A/1.jpg"\r\n\r\n' + portraits["obama"]
    cases: list[tuple[bytes, dict[str, str]]] = [
        (b"", {}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"anything", {"Content-Type": "multipart/form-data"}),
        (b"no form at all", boundary),
        (half, boundary),
        (b"--x--\r\n", boundary),
    ]
    with server.client() as client:
        for content, headers in cases:
            answer = client.post("/v1/jobs/enroll", content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_input"), answer.text
        missing = client.post("/v1/jobs/enroll?gallery=nowhere", files=form([("A/1.jpg", portraits["obama"])]))
        assert (missing.status_code, missing.json()["code"]) == (404, "gallery_not_found")
        assert client.get("/v1/jobs").json() == {"jobs": []}
        unknown = client.get("/v1/jobs/0123")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")
    assert spooled(server) == []


@contextmanager
def slowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs that take a moment for each window, so that there is time to do something about them."""
    window = JobRecords.window

    def late(records: JobRecords, job: Job, size: int) -> list[Item]:
        time.sleep(0.3)
        return window(records, job, size)

    with monkeypatch.context() as patched:
        patched.setattr(JobRecords, "window", late)
        yield


def test_a_job_can_be_canceled_and_forgotten_and_its_files_are_private(
    make_server: Callable[..., Running], portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(batch=1)
    images = [(f"Biden/{number}.jpg", portraits["biden"]) for number in range(30)]
    with server.client() as client, slowed(monkeypatch):
        first = client.post("/v1/jobs/enroll", files=form(images)).json()["id"]
        second = client.post("/v1/jobs/enroll", files=form(images)).json()["id"]
        files = [path for path in spooled(server) if path.is_file()]
        assert len(files) >= 30
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert {stat.S_IMODE(path.parent.stat().st_mode) for path in files} == {0o700}
        waiting = client.delete(f"/v1/jobs/{second}").json()
        assert (waiting["state"], waiting["done"]) == ("canceled", 0)
        deadline = time.monotonic() + WAIT_S
        while client.get(f"/v1/jobs/{first}").json()["done"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        client.delete(f"/v1/jobs/{first}")
        job = ended(client, first)
        assert job["state"] == "canceled"
        assert 0 < job["done"] < 30
        assert enrolled(server) == {"Biden": job["done"]}
        states = {one["id"]: one["state"] for one in client.get("/v1/jobs?state=canceled").json()["jobs"]}
        assert states == {first: "canceled", second: "canceled"}
        assert client.delete(f"/v1/jobs/{first}").status_code == 200
        assert client.get(f"/v1/jobs/{first}").status_code == 404
    assert spooled(server) == []


def test_a_server_that_stops_goes_on_with_a_job_when_it_is_back(
    tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, batch=2)
    names = ("obama", "obama2", "biden")
    images = [(f"{names[n % 3]}/{n}.jpg", portraits[names[n % 3]]) for n in range(20)]
    with running(settings, real) as server, server.client() as client, slowed(monkeypatch):
        job_id = client.post("/v1/jobs/enroll", files=form(images)).json()["id"]
        while client.get(f"/v1/jobs/{job_id}").json()["done"] == 0:
            time.sleep(0.02)
    with running(settings, real) as server, server.client() as client:
        job = ended(client, job_id)
        assert (job["state"], job["done"], job["failed"]) == ("done", 20, 0)
        assert enrolled(server) == {"biden": 6, "obama": 7, "obama2": 7}
        assert spooled(server) == []


def test_events_tell_of_progress_until_the_end(
    make_server: Callable[..., Running], portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(batch=1)
    with server.client() as client, slowed(monkeypatch):
        images = [(f"Biden/{number}.jpg", portraits["biden"]) for number in range(5)]
        job_id = client.post("/v1/jobs/enroll", files=form(images)).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            lines = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    counts = [line["done"] for line in lines]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert (lines[-1]["state"], lines[-1]["done"]) == ("done", 5)


def test_a_gallery_is_moved_to_another_model_from_its_portraits(server: Running, portraits: dict[str, bytes]) -> None:
    places = server.services.places
    gallery = places.create("kept", GalleryOptions(portraits=True))
    server.services.recognizer.enroll(gallery, "Obama", [portraits["obama"], portraits["obama2"]])
    before = gallery.space
    with server.client() as client:
        answer = client.post("/v1/jobs/migrate", json={"gallery": "kept", "embedder": "dlib-resnet"})
        assert answer.status_code == 202, answer.text
        job = ended(client, answer.json()["id"])
        assert (job["state"], job["done"], job["total"], job["error"]) == ("done", 2, 2, None)
        again = ended(
            client,
            client.post(
                "/v1/jobs/migrate", json=answer.request and {"gallery": "kept", "embedder": "dlib-resnet"}
            ).json()["id"],
        )
        assert (again["state"], again["error"]["code"]) == ("failed", "gallery_error")
        nowhere = client.post("/v1/jobs/migrate", json={"gallery": "kept", "embedder": "no-such"})
        assert (nowhere.status_code, nowhere.json()["code"]) == (404, "model_not_found")
        detector = client.post("/v1/jobs/migrate", json={"gallery": "kept", "embedder": "yunet"})
        assert (detector.status_code, detector.json()["code"]) == (422, "bad_input")
    moved = gallery.space
    assert moved is not None
    assert moved != before
    assert moved.startswith("dlib-resnet@")


def test_jobs_belong_to_galleries_and_need_their_scopes(keyed_server: Running, portraits: dict[str, bytes]) -> None:
    server = keyed_server
    server.services.places.create("staff")
    keys = {
        "enroll": server.key("enroll"),
        "read": server.key("read", "identify"),
        "other": server.key("enroll", name="other", galleries=["default"]),
    }
    upload = form([("A/1.jpg", portraits["obama"])])

    def call(key: str, method: str, path: str, **more: Any) -> httpx.Response:
        return client.request(method, path, headers={"Authorization": f"Bearer {keys[key]}"}, **more)

    with server.client() as client:
        job = call("enroll", "POST", "/v1/jobs/enroll?gallery=staff", files=upload).json()
        assert job["caller"] == "enroll"
        path = f"/v1/jobs/{job['id']}"
        for key, method, where, status in (
            ("read", "GET", "/v1/jobs", 403),
            ("read", "GET", path, 403),
            ("other", "GET", path, 404),
            ("other", "GET", f"{path}/events", 404),
            ("other", "DELETE", path, 404),
            ("other", "GET", "/v1/jobs?gallery=staff", 403),
            ("enroll", "GET", path, 200),
        ):
            assert call(key, method, where).status_code == status, (key, method, where)
        assert call("other", "GET", "/v1/jobs").json() == {"jobs": []}
        assert call("other", "POST", "/v1/jobs/enroll?gallery=staff", files=upload).status_code == 403
        migrate = {"gallery": "staff", "embedder": "dlib-resnet"}
        assert call("enroll", "POST", "/v1/jobs/migrate", json=migrate).status_code == 403
        assert client.get("/v1/jobs").status_code == 401
