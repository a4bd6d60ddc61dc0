"""The page of the server's API: its requests are made for real, in their order, and every route stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from server_cases import Running

import mien
from mien.images.samples import Samples
from mien.server import ServerSettings
from mien.server.app import create_app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
TAGS = {"faces", "comparison", "galleries", "identities", "identification", "models"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def objects(text: str) -> list[Any]:
    """JSON values that stand one behind the other."""
    found = []
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def test_every_request_of_the_page_is_answered(server: Running, samples: Samples, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "photos").mkdir(parents=True)
    names = {"obama": samples.obama[0], "obama2": samples.obama[1], "obama3": samples.obama[2]}
    for name, source in {**names, "biden": samples.biden, "group": samples.group}.items():
        shutil.copy(source, folder / "photos" / f"{name}.jpg")
    script = "".join(blocks("sh")).replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, cwd=folder, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    answers = objects(done.stdout)
    assert answers[1]["image"] == "group.jpg"
    matches = [answer["match"] for answer in answers if "match" in answer]
    assert matches == [True, False, False]
    enrolled = [len(a["results"]) for a in answers if "results" in a and "template_id" in a["results"][0]]
    assert enrolled == [1, 2, 1]
    found = [a["faces"][0]["candidates"] for a in answers if "threshold" in a and "faces" in a]
    assert found[0][0]["identity"] == "Barack Obama"
    assert found[1] == []
    removed = [answer["removed"] for answer in answers if "removed" in answer]
    assert removed == [1, 3, 0]
    assert mien.load(folder / "portrait.jpg").shape == (256, 256, 3)
    with server.client() as client:
        assert [g["name"] for g in client.get("/v1/galleries").json()["galleries"]] == ["default"]


def test_every_route_stands_on_the_page() -> None:
    document = create_app(ServerSettings(gallery="memory:")).openapi()
    commands = "".join(blocks("sh")).replace("$people", "$server/v1/galleries/politics")
    asked = set()
    for command in re.findall(r"^curl (.*(?:\\\n.*)*)", commands, re.MULTILINE):
        method = re.search(r"-X ([A-Z]+)", command)
        address = re.search(r"\$server(/[^\s?\"]*)", command)
        assert address is not None, command
        sends = any(option in command for option in ("--json", " -F ", "--data-binary"))
        path = (
            address[1]
            .replace("/galleries/politics", "/galleries/{gallery}")
            .replace("/templates/1", "/templates/{template_id}")
        )
        asked.add((method[1] if method else "POST" if sends else "GET", path))
    routes = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if set(route.get("tags", ())) & TAGS
    }
    assert asked == routes


def test_examples_of_answers_are_json() -> None:
    for block in blocks("json"):
        assert isinstance(json.loads(block), dict)
