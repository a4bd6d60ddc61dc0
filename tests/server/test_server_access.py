"""Who is let in: every route with no key, a wrong one, and one of too small a scope."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from server_cases import AppClient, app_of, settings_in
from server_routes import Asked, routes_of

import mien
from mien.server import ServerSettings
from mien.server.access import Caller, require
from mien.server.app import create_app
from mien.server.keys import SCOPES

OPEN = re.compile(r"/livez|/readyz|/|/console(/.*)?")
"""What needs no key: health, and the console's own files."""
ANY_SCOPE = {"/v1/whoami", "/v1/openapi.json"}
"""What any key opens."""
ROUTES = routes_of(create_app(ServerSettings()))
CLOSED = [route for route in ROUTES if not OPEN.fullmatch(route.path)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, real: mien.Recognizer) -> Iterator[AppClient]:
    settings = settings_in(tmp_path_factory.mktemp("access"), require_keys=True, rate_per_minute=0)
    with app_of(settings, real) as opened:
        yield opened


@pytest.fixture(scope="module")
def secrets(client: AppClient) -> dict[str, str]:
    """Keys by what they are: one of each single scope, an expired and a revoked one of all scopes, and unknown ones."""
    keys = client.services.keys
    found = {scope: keys.create(scope, [scope])[1] for scope in SCOPES}
    found["all but admin"] = keys.create("all but admin", SCOPES[:3])[1]
    found["expired"] = keys.create("expired", SCOPES, expires_s=0.01)[1]
    key, found["revoked"] = keys.create("revoked", SCOPES)
    keys.revoke(key.id)
    found["unknown"] = "mien_abcdefghijkl_" + "A" * 43
    found["no key"] = "secret"
    time.sleep(0.02)
    return found


def asked(client: AppClient, route: Asked, secret: str | None, **headers: str) -> httpx.Response:
    given = headers if secret is None else {"Authorization": f"Bearer {secret}", **headers}
    return client.request(route.method, route.filled, headers=given)


def require_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_the_routes_are_all_there() -> None:
    """The tests below would pass with no routes at all."""
    paths = {str(route) for route in CLOSED}
    assert {"POST /v1/detect", "POST /v1/galleries/{gallery}/enroll", "GET /metrics", "GET /v1/audit"} <= paths
    documented = create_app(ServerSettings()).openapi()["paths"]
    wanted = {f"{method.upper()} {path}" for path, methods in documented.items() for method in methods}
    assert wanted - {f"{route.method} {re.sub(':path', '', route.path)}" for route in ROUTES} == set()


@pytest.mark.parametrize("route", CLOSED, ids=str)
@pytest.mark.parametrize("what", [None, "expired", "revoked", "unknown", "no key"])
def test_without_a_key_that_works(client: AppClient, secrets: dict[str, str], route: Asked, what: str | None) -> None:
    require_problem(asked(client, route, None if what is None else secrets[what]), 401, "unauthorized")


@pytest.mark.parametrize("route", [route for route in CLOSED if route.path not in ANY_SCOPE], ids=str)
def test_with_a_key_of_other_scopes(client: AppClient, secrets: dict[str, str], route: Asked) -> None:
    assert route.scope in SCOPES, "the route asks for no scope"
    others = ["all but admin"] if route.scope == "admin" else [s for s in SCOPES if s not in (route.scope, "admin")]
    for other in others:
        require_problem(asked(client, route, secrets[other]), 403, "forbidden")


@pytest.mark.parametrize("route", [route for route in CLOSED if "{gallery}" in route.path], ids=str)
def test_a_key_of_one_gallery_opens_no_other(client: AppClient, route: Asked) -> None:
    if route.scope == "admin":
        pytest.skip("a key with the scope admin opens every gallery")
    keys = client.services.keys
    key, secret = keys.create(f"staff {route}", SCOPES[:3], galleries=["staff"])
    require_problem(asked(client, route, secret), 403, "forbidden")
    keys.revoke(key.id)


@pytest.mark.parametrize("path", sorted(ANY_SCOPE))
@pytest.mark.parametrize("scope", SCOPES)
def test_what_any_key_opens(client: AppClient, secrets: dict[str, str], path: str, scope: str) -> None:
    answer = client.get(path, headers={"Authorization": f"Bearer {secrets[scope]}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_needs_no_key_and_no_name(client: AppClient, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.get(path, headers={"Host": "10.0.0.7:8080"}).status_code == 200


def test_paths_that_do_not_exist_tell_nothing_without_a_key(client: AppClient, secrets: dict[str, str]) -> None:
    require_problem(client.get("/v1/nothing"), 401, "unauthorized")
    require_problem(client.get("/v1/../v1/keys"), 401, "unauthorized")
    require_problem(client.get("/v1/%2e%2e/keys"), 401, "unauthorized")
    require_problem(client.get("/v1/nothing", headers={"X-API-Key": secrets["read"]}), 404, "not_found")
    require_problem(client.delete("/v1/whoami", headers={"X-API-Key": secrets["read"]}), 405, "method_not_allowed")


def test_both_headers_work(client: AppClient, secrets: dict[str, str]) -> None:
    for headers in (
        {"Authorization": f"Bearer {secrets['identify']}"},
        {"authorization": f"bearer  {secrets['identify']} "},
        {"X-API-Key": secrets["identify"]},
    ):
        answer = client.get("/v1/whoami", headers=headers)
        assert answer.json() == {"name": "identify", "scopes": ["identify"], "galleries": None, "local": False}


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "mien_x", ""])
def test_other_kinds_of_authorization(client: AppClient, header: str) -> None:
    require_problem(client.get("/v1/whoami", headers={"Authorization": header}), 401, "unauthorized")


def test_a_key_in_the_query_is_none(client: AppClient, secrets: dict[str, str]) -> None:
    """Queries end up in logs and histories."""
    require_problem(client.get("/v1/whoami", params={"key": secrets["read"]}), 401, "unauthorized")


def test_keys_are_managed_over_the_network(client: AppClient, secrets: dict[str, str]) -> None:
    admin = {"Authorization": f"Bearer {secrets['admin']}"}
    wanted = {"name": "door 7", "scopes": ["identify"], "expires_days": 1, "galleries": ["staff"]}
    made = client.post("/v1/keys", json=wanted, headers=admin)
    assert made.status_code == 201
    key = made.json()
    theirs = {"Authorization": f"Bearer {key.pop('secret')}"}
    assert client.get("/v1/whoami", headers=theirs).json()["galleries"] == ["staff"]
    listed = client.get("/v1/keys", headers=admin).json()["keys"]
    assert [found["id"] for found in listed].count(key["id"]) == 1
    assert all("secret" not in found and "hash" not in found for found in listed)
    require_problem(client.post("/v1/keys", json=wanted, headers=admin), 422, "bad_input")
    for _ in range(2):
        assert client.delete(f"/v1/keys/{key['id']}", headers=admin).json()["revoked"] is not None
    require_problem(client.get("/v1/whoami", headers=theirs), 401, "unauthorized")
    require_problem(client.delete("/v1/keys/zzzzzzzzzzzz", headers=admin), 404, "not_found")
    actions = [(line["action"], line["caller"]) for line in client.get("/v1/audit", headers=admin).json()["entries"]]
    assert actions.count(("revoke_key", "admin")) == 2
    assert ("create_key", "admin") in actions


def test_an_unknown_scope_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        require("everything")


def test_admin_may_everything() -> None:
    assert all(Caller("a", ("admin",)).may(scope) for scope in SCOPES)
    assert not Caller("a", ("read",)).may("identify")
