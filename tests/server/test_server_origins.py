"""What keeps foreign web pages from a server on this machine that needs no key, and what browsers are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server_cases import AppClient, app_of, settings_in

import mien

OWN = "http://127.0.0.1"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, real: mien.Recognizer) -> Iterator[AppClient]:
    with app_of(settings_in(tmp_path_factory.mktemp("origins")), real) as opened:
        yield opened


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:9", "LocalHost", "[::1]:8080"])
def test_own_names(client: AppClient, host: str) -> None:
    assert client.get("/v1/whoami", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "[::2]"],
)
@pytest.mark.parametrize("path", ["/v1/whoami", "/", "/metrics"])
def test_names_that_were_made_to_point_here(client: AppClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_two_host_headers(client: AppClient) -> None:
    answer = client.request("GET", "/v1/whoami", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": OWN, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_other_origins_change_nothing(client: AppClient, headers: dict[str, str]) -> None:
    answer = client.post("/v1/galleries", json={"name": "theirs"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    # What a page may send without asking first: a form, or text.
    typed = {**headers, "Content-Type": "text/plain"}
    assert client.post("/v1/galleries", content=b'{"name": "theirs"}', headers=typed).status_code == 403
    assert client.delete("/v1/galleries/default", params={"confirm": "default"}, headers=headers).status_code == 403
    assert [found["name"] for found in client.get("/v1/galleries").json()["galleries"]] == ["default"]


def test_pictures_are_not_shown_in_pages_of_other_origins(client: AppClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}
    assert client.get("/v1/galleries/default/templates/1/portrait", headers=headers).status_code == 403


def test_a_link_to_the_console_may_be_followed(client: AppClient) -> None:
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Origin": OWN}, {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}])
def test_the_own_page_and_programs_may(client: AppClient, headers: dict[str, str]) -> None:
    answer = client.post("/v1/galleries", json={"name": "ours"}, headers=headers)
    assert answer.status_code == 201
    assert client.delete("/v1/galleries/ours", params={"confirm": "ours"}, headers=headers).is_success


def test_a_key_is_enough_whatever_the_page(client: AppClient) -> None:
    """A page cannot make a browser send a key that it does not have."""
    _, secret = client.services.keys.create("app", ["read"])
    headers = {"Authorization": f"Bearer {secret}", "Origin": "http://app.example"}
    answer = client.get("/v1/whoami", headers=headers)
    assert answer.json()["name"] == "app"
    assert client.post("/v1/galleries", json={"name": "x"}, headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/v1/whoami", "/", "/v1/nothing", "/livez", "/metrics"])
def test_no_answer_is_shared_with_other_origins(client: AppClient, path: str) -> None:
    answer = client.get(path, headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    preflight = client.request(
        "OPTIONS", path, headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code >= 400
    assert not [name for name in preflight.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/v1/whoami", "/", "/v1/nothing", "/livez"])
def test_headers_of_every_answer(client: AppClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers
    assert len(headers["x-request-id"]) == 16
    assert headers.get_list("x-request-id") == [headers["x-request-id"]]
    if path.startswith("/v1"):
        assert headers["cache-control"] == "no-store"


def test_the_console_can_be_left_out(tmp_path: Path, real: mien.Recognizer) -> None:
    with app_of(settings_in(tmp_path, console=False), real) as without:
        assert without.get("/").status_code == 404
        assert without.get("/v1/whoami").status_code == 200
