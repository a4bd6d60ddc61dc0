"""Errors as problem documents, and what the log tells of them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from fastapi import APIRouter, Depends
from pydantic import BaseModel
from server_cases import AppClient

from mien import errors
from mien.errors import MienError, Overloaded, QualityRefused
from mien.server.access import require_key
from mien.server.headers import ACCESS_LOG
from mien.server.problems import fault_record, problem_of, status_of
from mien.types import QualityReason

FAILING = APIRouter()


class Person(BaseModel):
    name: str
    age: int


@FAILING.get("/v1/crash")
async def crash(_caller: object = Depends(require_key)) -> None:
    raise ZeroDivisionError("a secret /path")


@FAILING.get("/v1/own-fault")
async def own_fault(_caller: object = Depends(require_key)) -> None:
    raise errors.OutputError("/srv/secret/file: cannot be written")


@FAILING.get("/v1/locked")
async def locked(_caller: object = Depends(require_key)) -> None:
    raise errors.GalleryLocked("/srv/secret/people.db: locked by another process")


@FAILING.post("/v1/person")
async def person(wanted: Person) -> Person:
    return wanted


@pytest.fixture
def failing(app_client: AppClient) -> AppClient:
    app_client.app.include_router(FAILING)
    return app_client


def test_every_error_has_a_status() -> None:
    expected = {404: 5, 409: 4, 429: 1, 401: 1, 403: 1, 408: 1, 413: 1, 503: 3}
    found: dict[int, int] = {}
    for name in errors.__all__:
        status = status_of(getattr(errors, name)("message"))
        found[status] = found.get(status, 0) + 1
        assert 400 <= status < 600
    assert {status: found.get(status, 0) for status in expected} == expected


def test_what_to_wait_is_told() -> None:
    assert problem_of(Overloaded("full", retry_after_s=2.2), "1").headers["retry-after"] == "3"
    assert problem_of(Overloaded("full"), "1").headers["retry-after"] == "1"
    assert "retry-after" not in problem_of(errors.BadInput("x"), "1").headers


def test_a_refused_face_says_why() -> None:
    reason = QualityReason("blurred", "sharpness", 0.125, 0.5, "", True)
    body = json.loads(bytes(problem_of(QualityRefused("not good enough", (reason,)), "1").body))
    assert body["status"] == 422
    (told,) = body["reasons"]
    assert (told["name"], told["measure"], told["value"], told["limit"]) == ("blurred", "sharpness", 0.125, 0.5)
    assert "hold still" in told["message"]


def test_nobody_foresaw_it(failing: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mien.server"):
        answer = failing.get("/v1/crash")
    assert answer.status_code == 500
    body = answer.json()
    assert (body["code"], body["type"]) == ("error", "urn:mien:error:error")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "x-frame-options" in answer.headers
    number = body["instance"].rpartition(":")[2]
    assert answer.headers["x-request-id"] == number
    (record,) = [r for r in caplog.records if r.exc_info is not None]
    assert number in record.getMessage()
    assert failing.get("/livez").status_code == 200


def test_the_server_s_own_faults_keep_their_paths(failing: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = failing.get("/v1/own-fault")
    assert (answer.status_code, answer.json()["code"]) == (500, "output_error")
    assert "/srv" not in answer.text
    assert "/srv/secret/file" in caplog.text


def test_where_galleries_are_is_nobody_s_business(failing: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = failing.get("/v1/locked")
    assert (answer.status_code, answer.json()["code"]) == (503, "gallery_locked")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "/srv" not in answer.text
    assert "/srv/secret/people.db" in caplog.text
    for kind in (errors.GalleryLocked, errors.ConnectionLost, errors.OutputError, errors.GalleryError):
        error = kind("/srv/secret, 10.0.0.7")
        for told in (fault_record(error), json.loads(bytes(problem_of(error, "1").body))):
            assert told["code"] == error.code
            assert "srv" not in str(told)
            assert "10.0" not in str(told)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/galleries", {"GET", "POST"}),
        ("POST", "/v1/galleries/default/identity", {"GET", "PATCH", "DELETE"}),
        ("TRACE", "/v1/keys", {"GET", "POST"}),
        ("GET", "/v1/detect", {"POST"}),
        ("OPTIONS", "/livez", {"GET", "HEAD"}),
        ("POST", "/", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    app_client: AppClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = app_client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "method_not_allowed"
    assert set(answer.headers["allow"].split(", ")) == allowed


def test_watchers_may_ask_without_a_body(app_client: AppClient) -> None:
    for path in ("/livez", "/readyz"):
        assert app_client.request("HEAD", path).status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b'{"name": "Ada Lovelace", "age": "secret"}', 422),
        (b'{"name": 5}', 422),
    ],
)
def test_wrong_bodies(failing: AppClient, content: bytes, status: int) -> None:
    answer = failing.post("/v1/person", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, "bad_input")
    # What was sent may be a secret, or an image of megabytes.
    assert "Lovelace" not in answer.text
    assert "secret" not in answer.text


def test_the_access_log_holds_no_names_and_no_keys(app_client: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    _, secret = app_client.services.keys.create("reception\u00e9", ["admin"])
    headers = {"Authorization": f"Bearer {secret}"}
    with caplog.at_level(logging.DEBUG):
        app_client.get("/v1/galleries/default/identity", params={"name": "Ada Lovelace"}, headers=headers)
        app_client.get("/v1/audit", params={"identity": "Ada Lovelace"}, headers={"X-API-Key": secret})
        made = app_client.post("/v1/keys", json={"name": "door", "scopes": ["read"]}, headers=headers)
        app_client.get("/v1/whoami", headers={"Authorization": f"Bearer {secret[:-4]}AAAA"})
        app_client.get("/v1/line%0Abreak%1b[2J", headers=headers)
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name == ACCESS_LOG)
    assert logged.count("\n") == 4, logged
    assert "GET /v1/galleries/default/identity 404" in logged
    assert "key=reception\\xe9" in logged
    for word in ("Ada", "Lovelace", secret, secret[20:], made.json()["secret"][20:], "identity=", "\x1b", "?"):
        assert word not in logged
    assert secret[20:] not in caplog.text


def test_audit_lines_over_the_network(app_client: AppClient, tmp_path: Path) -> None:
    for number in range(5):
        app_client.post("/v1/keys", json={"name": f"door {number}", "scopes": ["read"]})
    page = app_client.get("/v1/audit", params={"limit": 2, "action": "create_key"}).json()
    assert [line["caller"] for line in page["entries"]] == ["local", "local"]
    rest = app_client.get("/v1/audit", params={"limit": 10, "before": page["next"], "action": "create_key"}).json()
    assert len(rest["entries"]) == 3
    assert rest["next"] is None
    assert app_client.get("/v1/audit", params={"limit": 0}).status_code == 422


def test_a_problem_is_an_answer_for_every_error() -> None:
    for name in errors.__all__:
        error: MienError = getattr(errors, name)("what happened \ud800 \n")
        body = json.loads(bytes(problem_of(error, "7").body))
        assert body["code"] == error.code
        assert body["instance"] == "urn:mien:request:7"
