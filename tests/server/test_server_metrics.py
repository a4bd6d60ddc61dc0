"""Metrics and activity of a real server, and the page that tells of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from server_cases import Running, running, settings_in

import mien
from mien.images.samples import Samples

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "server-jobs.md").read_text(encoding="utf-8")
IMAGE = {"Content-Type": "image/jpeg"}


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the text format, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for (each, own), value in found.items() if each == name and wanted <= set(own))


def test_metrics_count_what_was_done_and_name_nobody(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client:
        before = values(client.get("/metrics").text)
        enroll = {"identity": "Ada Lovelace"}
        client.post("/v1/galleries/default/enroll", params=enroll, content=portraits["obama"], headers=IMAGE)
        client.post("/v1/galleries/default/identify", content=portraits["obama2"], headers=IMAGE)
        client.post("/v1/galleries/default/identify", content=b"no image", headers=IMAGE)
        client.get("/v1/nowhere/Ada Lovelace")
        text = client.get("/metrics").text
    found = values(text)

    def more(name: str, **labels: str) -> float:
        return total(found, name, **labels) - total(before, name, **labels)

    route = "/v1/galleries/{gallery}/identify"
    assert more("mien_requests_total", route=route, status="200") == 1
    assert more("mien_requests_total", route=route, status="422") == 1
    assert more("mien_requests_total", route="other", status="404") == 1
    assert more("mien_request_seconds_count", route=route) == 2
    assert more("mien_faces_total") == 2
    assert more("mien_batch_size_sum", kind="analyze") >= 1
    assert total(found, "mien_queue_depth") == 0
    assert total(found, "mien_gallery_templates", gallery="default") == 1
    assert total(found, "mien_requests_open") == 1
    assert "Ada" not in text


def test_activity_has_the_last_hour_and_is_kept_over_a_restart(
    tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes]
) -> None:
    settings = settings_in(tmp_path)
    for started in (1, 2):
        with running(settings, real) as server, server.client() as client:
            client.post("/v1/detect", content=portraits["obama"], headers=IMAGE)
            found = client.get("/v1/activity").json()
            assert len(found["requests_per_minute"]) == 60
            assert sum(found["requests_per_minute"]) == started
            assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]


def test_the_page_names_every_metric(server: Running) -> None:
    with server.client() as client:
        client.post("/v1/detect", content=b"", headers=IMAGE)
        families = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    shown = {re.sub("_total$", "", name) for name in re.findall(r"`(mien_\w+)`", PAGE)}
    assert shown == {name for name in families if re.match("mien_.*(?<!_created)$", name)}


def test_every_request_of_the_page_is_answered(server: Running, samples: Samples, tmp_path: Path) -> None:
    for folder, name, source in (
        ("photos", "obama.jpg", samples.obama[0]),
        ("photos", "biden.jpg", samples.biden),
        ("people/Barack Obama", "1.jpg", samples.obama[1]),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / folder / name)
    script = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    script = script.replace("http://127.0.0.1:8080", server.url)
    command = ["bash", "-eu", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "event: job" in done.stdout
    with server.client() as client:
        found = client.get("/v1/galleries/default/identities").json()["identities"]
    assert {each["identity"] for each in found} >= {"Barack Obama", "Joe Biden"}
