"""The page of jobs and metrics: its requests are made for real, in their order, and every route stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

from server_cases import Running

from mien.images.samples import Samples
from mien.server import ServerSettings
from mien.server.app import create_app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "server-jobs.md").read_text(encoding="utf-8")
TAGS = {"jobs", "metrics", "activity"}
WAIT_S = 60.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_request_of_the_page_is_answered(server: Running, samples: Samples, tmp_path: Path) -> None:
    photos = tmp_path / "work" / "photos"
    photos.mkdir(parents=True)
    names = {"obama": samples.obama[0], "obama2": samples.obama[1], "obama3": samples.obama[2]}
    for name, source in {**names, "biden": samples.biden, "group": samples.group}.items():
        shutil.copy(source, photos / f"{name}.jpg")
    script = "".join(blocks("sh")).replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, cwd=photos.parent, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"state": "done"' in done.stdout
    assert '"item":"Joe/2.jpg","identity":"Joe","error":{"code":"several_faces"' in done.stdout
    assert "mien_requests_total{" in done.stdout
    deadline = time.monotonic() + WAIT_S
    with server.client() as client:
        while {job["state"] for job in client.get("/v1/jobs").json()["jobs"]} != {"done"}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    places = server.services.places
    assert places.get("default").identities() == [("Ada", 3), ("Joe", 2)]
    moved = places.get("kept").space
    assert moved is not None
    assert moved.startswith("dlib-resnet@")


def test_every_route_stands_on_the_page() -> None:
    document = create_app(ServerSettings(gallery="memory:")).openapi()
    routes = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if set(route.get("tags", ())) & TAGS
    }
    asked = set()
    for command in re.findall(r"curl (.*(?:\\\n.*)*)", "".join(blocks("sh"))):
        address = re.search(r"\$server(/[^\s?\"]*)", command)
        assert address is not None, command
        method = re.search(r"-X ([A-Z]+)", command)
        sends = any(option in command for option in ("--json", " -F ", "--data-binary"))
        path = address[1].replace("$job", "{job_id}")
        if not path.startswith("/v1/galleries"):
            asked.add((method[1] if method else "POST" if sends else "GET", path))
    assert asked == routes


def test_every_metric_stands_on_the_page(server: Running) -> None:
    with server.client() as client:
        text = client.get("/metrics").text
    named = set(re.findall(r"^# TYPE (mien_\w+) ", text, re.MULTILINE))
    # A histogram and a counter also say when they began.
    assert {name for name in named if not name.endswith("_created")} == set(re.findall(r"`(mien_\w+)`", PAGE))


def test_examples_of_answers_are_json() -> None:
    for block in blocks("json"):
        assert isinstance(json.loads(block), dict)
