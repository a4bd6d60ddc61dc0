"""The OpenAPI document, and that the server keeps to it: requests made from it, right and wrong ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from face_cases import PEOPLE, PNG, RED, drawn, fake_recognizer
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, openapi
from server_cases import AppClient, Running, app_of, running, settings_in

OURS = ("faces", "comparison", "galleries", "identities", "identification", "models")


# An address past this is refused by the protocol's parser, before any route is known.
LONGEST_ADDRESS = 60_000
TOO_LONG = b"Invalid HTTP request received."


def document() -> dict[str, Any]:
    """The document of an application that is not started."""
    from mien.server import ServerSettings
    from mien.server.app import create_app

    found: dict[str, Any] = json.loads(json.dumps(create_app(ServerSettings(gallery="memory:")).openapi()))
    return found


DOCUMENT = document()
ROUTES = [
    (path, method, route)
    for path, methods in DOCUMENT["paths"].items()
    for method, route in methods.items()
    if set(route.get("tags", ())) & set(OURS)
]


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with someone enrolled, so that there is something to find."""
    folder = tmp_path_factory.mktemp("openapi")
    given = settings_in(folder, gallery="memory:", rate_per_minute=0, require_keys=True)
    with running(given, fake_recognizer()) as started:
        with started.client(headers={"X-API-Key": started.key("admin")}) as client:
            done = client.post(f"{PEOPLE}/enroll?identity=Ada", content=drawn(RED), headers=PNG)
            assert done.status_code == 200
        yield started


@pytest.fixture(scope="module")
def key(listening: Running) -> dict[str, str]:
    """A key that may do everything."""
    return {"Authorization": f"Bearer {listening.key('admin', name='tester')}"}


def operations() -> dict[str, Any]:
    """The routes of the faces API as schemathesis has them, by method and path."""
    schema = openapi.from_dict(DOCUMENT)
    # What fits the document may still be no image, or too much.
    schema.config.checks.positive_data_acceptance.expected_statuses += ["413", "415", "422"]
    found: list[Any] = list(schema.include(tag=list(OURS)).get_all_operations())
    return {result.ok().label: result.ok() for result in found}


OPERATIONS = operations()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("label", OPERATIONS)
def test_the_server_keeps_to_its_document(
    listening: Running, key: dict[str, str], label: str, mode: GenerationMode
) -> None:
    """Requests as the document has them, and requests that it does not allow: each answer is one that it names."""
    strategy = OPERATIONS[label].as_strategy(generation_mode=mode)

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def kept(case: Any) -> None:
        answer = case.call(base_url=listening.url, headers=key)
        if answer.status_code == 400 and answer.content == TOO_LONG:
            assert len(answer.request.url) > LONGEST_ADDRESS
            return
        case.validate_response(answer, headers=key)

    kept()


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(ROUTES) == 23


@pytest.mark.parametrize(("path", "method", "route"), ROUTES, ids=[f"{m} {p}" for p, m, _ in ROUTES])
def test_routes_are_described(path: str, method: str, route: dict[str, Any]) -> None:
    assert route["summary"]
    assert route["description"]
    statuses = set(route["responses"])
    assert {"401", "403", "422", "429", "500", "503"} <= statuses
    assert "security" in route
    if method in ("post", "patch"):
        assert {"408", "413", "415"} <= statuses
        assert route["requestBody"]["content"]
    for status, answer in route["responses"].items():
        if int(status) >= 400:
            assert list(answer["content"]) == ["application/problem+json"], status


def test_nothing_takes_a_path_or_an_address() -> None:
    """No field or parameter is for a file's path or a URL: images come as bytes alone."""
    for path, method, route in ROUTES:
        names = {parameter["name"] for parameter in route.get("parameters", ())}
        for content in route.get("requestBody", {}).get("content", {}).values():
            names |= set(content["schema"].get("properties", {}))
        assert not names & {"path", "url", "uri", "file", "filename", "src"}, f"{method} {path}"


def test_the_document_is_what_the_server_gives(tmp_path: Path) -> None:
    with app_of(settings_in(tmp_path, gallery="memory:"), fake_recognizer()) as client:
        given: AppClient = client
        assert given.get("/v1/openapi.json").json()["paths"].keys() == DOCUMENT["paths"].keys()
