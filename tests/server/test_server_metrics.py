"""Counts and times: of every request by its route, of all processes, and never a name."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_cases import AppClient, Running
from server_process import free_port, serving

from mien.server.activity import SCHEMA, Activity
from mien.server.metrics import Meters
from mien.server.pace import Pace, quantile_ms
from mien.server.settings import ServerSettings
from mien.server.state import State

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(text: str) -> Samples:
    """Each sample's value by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_requests_are_counted_by_route_and_status_and_no_name_is_told(
    server: Running, portraits: dict[str, bytes]
) -> None:
    image = {"Content-Type": "image/jpeg"}
    with server.client() as client:
        people = "/v1/galleries/default"
        for path, photo in (
            (f"{people}/enroll?identity=Very%20Secret", portraits["biden"]),
            (f"{people}/enroll?identity=Very%20Secret", b"no image"),
            (f"{people}/identify", portraits["group"]),
            (f"{people}/identify", portraits["biden"]),
        ):
            client.post(path, content=photo, headers=image)
        assert client.get(f"{people}/identity?name=Very%20Secret").status_code == 200
        assert client.get("/v1/galleries/no-such-gallery").status_code == 404
        assert client.get("/v1/made/up/path").status_code == 404
        assert client.request("PROPFIND", "/v1/version").status_code == 405
        answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Secret" not in answer.text
    assert "no-such" not in answer.text
    assert "made" not in answer.text
    found = scraped(answer.text)
    enroll, identify = "/v1/galleries/{gallery}/enroll", "/v1/galleries/{gallery}/identify"
    assert value(found, "mien_requests_total", method="POST", route=enroll, status="200") == 1
    assert value(found, "mien_requests_total", method="POST", route=enroll, status="422") == 1
    assert value(found, "mien_requests_total", method="POST", route=identify, status="200") == 2
    assert value(found, "mien_requests_total", method="GET", route="/v1/galleries/{gallery}", status="404") == 1
    assert value(found, "mien_requests_total", method="GET", route="other", status="404") == 1
    assert value(found, "mien_request_seconds_count", method="POST", route=identify) == 2
    assert 0 < value(found, "mien_request_seconds_sum", method="POST", route=identify) < 60
    assert value(found, "mien_faces_total") == 1 + 6 + 1
    assert value(found, "mien_batch_size_count", kind="analyze") == 3
    assert value(found, "mien_requests_open") == 1
    assert value(found, "mien_queue_depth") == 0
    assert value(found, "mien_gallery_templates", gallery="default") == 1
    assert value(found, "mien_gallery_identities", gallery="default") == 1
    assert value(found, "mien_jobs", state="running") == 0
    methods = {dict(labels).get("method") for name, labels in found if name == "mien_requests_total"}
    assert methods <= {"GET", "POST", "other"}


def test_metrics_need_a_key_and_show_only_its_galleries(keyed_server: Running) -> None:
    keyed_server.services.places.create("staff")
    limited = keyed_server.key("read", galleries=["default"])
    wrong = keyed_server.key("enroll")
    with keyed_server.client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"X-API-Key": wrong}).status_code == 403
        text = client.get("/metrics", headers={"X-API-Key": limited}).text
    assert 'mien_gallery_templates{gallery="default"}' in text
    assert "staff" not in text


def test_several_processes_are_added_up_also_when_one_was_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "data", free_port(), "--workers", "2") as server:
        for _ in range(30):
            # A connection of its own for each, so that both processes get some.
            assert httpx.get(f"{server.url}/v1/version", trust_env=False, timeout=60).status_code == 200
        with server.client() as client:
            found = scraped(client.get("/metrics").text)
            assert value(found, "mien_requests_total", method="GET", route="/v1/version", status="200") == 30
            assert value(found, "mien_requests_open") == 1
            deadline = time.monotonic() + 30
            while sum(client.get("/v1/activity").json()["requests_per_minute"]) < 30:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        server.kill()
    with serving(tmp_path / "data", free_port(), "--workers", "2") as server, server.client() as client:
        text = client.get("/metrics").text
        assert 'route="/v1/version"' not in text
        assert server.stop() == 0


def test_what_happened_lately_is_told_without_names(app_client: AppClient, portraits: dict[str, bytes]) -> None:
    image = {"Content-Type": "image/jpeg"}
    enroll = "/v1/galleries/default/enroll?identity=Very%20Secret"
    assert app_client.post(enroll, content=portraits["biden"], headers=image).status_code == 200
    for _ in range(3):
        assert app_client.get("/v1/version").status_code == 200
        assert app_client.get("/livez").status_code == 200
    answer = app_client.get("/v1/activity")
    assert answer.status_code == 200, answer.text
    assert "Secret" not in answer.text
    found = answer.json()
    assert [line["action"] for line in found["recent"]] == ["enroll"]
    assert set(found["recent"][0]) == {"at", "caller", "action", "gallery", "status"}
    assert len(found["requests_per_minute"]) == 60
    assert sum(found["requests_per_minute"][-2:]) == 4
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]


def test_a_limited_key_sees_what_happened_in_its_galleries(keyed_server: Running, portraits: dict[str, bytes]) -> None:
    keyed_server.services.places.create("staff")
    admin, limited = keyed_server.key("admin"), keyed_server.key("read", name="limited", galleries=["staff"])
    with keyed_server.client() as client:
        for gallery in ("default", "staff"):
            path = f"/v1/galleries/{gallery}/enroll?identity=A"
            headers = {"X-API-Key": admin, "Content-Type": "image/jpeg"}
            assert client.post(path, content=portraits["biden"], headers=headers).status_code == 200
        seen = client.get("/v1/activity", headers={"X-API-Key": limited}).json()["recent"]
    assert {line["gallery"] for line in seen} == {"staff"}


def test_two_processes_activity_is_one(tmp_path: Path) -> None:
    state = State(tmp_path / "server.db", [SCHEMA])
    settings = ServerSettings(data=tmp_path)
    meters = [Meters(settings), Meters(settings)]
    both = [Activity(state, one) for one in meters]
    assert both[0].recent().p50_ms is None
    assert both[0].recent().requests_per_minute == [0] * 60
    for one in meters:
        for _ in range(10):
            one.answered("GET", "/v1/version", 200, 0.02)
        one.answered("GET", "/v1/version", 200, 3.0)
        one.answered("GET", "/livez", 200, 60.0)
    both[1].recent()
    found = both[0].recent()
    assert sum(found.requests_per_minute) == 22
    assert found.p50_ms == pytest.approx(20, rel=0.15)
    assert found.p95_ms == pytest.approx(3000, rel=0.15)
    state.close()


@pytest.mark.parametrize("seconds", [0.0005, 0.004, 0.1, 1.7, 40.0])
def test_quantiles_are_within_a_class(seconds: float) -> None:
    pace = Pace()
    assert pace.minutes() == {}
    for _ in range(100):
        pace.note(seconds)
    (counts,) = pace.minutes().values()
    for share in (0.01, 0.5, 0.99, 1.0):
        told = quantile_ms(counts, share)
        assert told is not None
        assert told == pytest.approx(1000 * seconds, rel=0.15, abs=1.0)
    assert quantile_ms([0, 0], 0.5) is None


def test_times_above_all_classes_are_counted() -> None:
    pace = Pace()
    pace.note(10_000.0)
    (counts,) = pace.minutes().values()
    assert sum(counts) == 1
    told = quantile_ms(counts, 0.5)
    assert told is not None
    assert told > 60_000
