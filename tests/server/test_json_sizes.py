"""JSON bodies whose objects would take far more memory than their bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from server_cases import AppClient

JSON = {"Content-Type": "application/json"}
PATHS = ["/v1/detect", "/v1/verify", "/v1/compare", "/v1/galleries/default/search", "/v1/galleries/default/enroll"]


@pytest.mark.parametrize("filling", [b"{},", b"[],", b"0,"])
def test_it_is_refused_before_it_is_made_to_objects(app_client: AppClient, filling: bytes) -> None:
    body = b'{"more": [' + filling * (12_000_000 // len(filling)) + b"0]}"
    for path in PATHS:
        tracemalloc.start()
        try:
            answer = app_client.post(path, content=body, headers=JSON)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")
        assert most < 4 * len(body), path


def test_bodies_of_few_words_may_not_be_large(app_client: AppClient) -> None:
    for path in ("/v1/keys", "/v1/jobs/migrate"):
        answer = app_client.post(path, content=b"[" + b"{}," * 100_000 + b"{}]", headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), path


def test_large_lists_of_templates_go_through(app_client: AppClient) -> None:
    size = app_client.get("/v1/version").json()["dimension"]
    space = app_client.get("/v1/version").json()["space"]
    vector = [1.0] + [0.0] * (size - 1)
    answer = app_client.post("/v1/compare", json={"space": space, "a": [vector] * 1000, "b": [vector] * 1000})
    assert answer.status_code == 200
