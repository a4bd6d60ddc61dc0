"""Enrollments that are sent again with their key, through a real server: done once, and forgotten with the person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
from server_cases import Running


def enroll(client: httpx.Client, image: bytes, key: str, gallery: str = "default") -> httpx.Response:
    headers = {"Content-Type": "image/jpeg", "Idempotency-Key": key}
    return client.post(f"/v1/galleries/{gallery}/enroll", params={"identity": "Ada"}, content=image, headers=headers)


def test_a_repeat_gets_the_first_answer_and_stores_nothing(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client:
        first = enroll(client, portraits["obama"], "one")
        again = enroll(client, portraits["obama"], "one")
        other = enroll(client, portraits["obama"], "two")
        mixed_up = enroll(client, portraits["biden"], "one")
    assert first.status_code == again.status_code == other.status_code == 200
    assert again.json() == first.json() != other.json()
    assert (mixed_up.status_code, mixed_up.json()["code"]) == (422, "idempotency_mismatch")
    assert dict(server.services.places.get("default").identities()) == {"Ada": 2}


def test_repeats_at_the_same_time_are_done_once(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: enroll(client, portraits["obama"], "same"), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert dict(server.services.places.get("default").identities()) == {"Ada": 1}


def test_keys_of_two_callers_and_of_two_galleries_are_different_keys(
    keyed_server: Running, portraits: dict[str, bytes]
) -> None:
    key = keyed_server.key
    admin, ada, ben = key("admin", name="root"), key("enroll", name="ada"), key("enroll", name="ben")
    with keyed_server.client() as client:
        for secret in (ada, ben):
            client.headers["Authorization"] = f"Bearer {secret}"
            assert enroll(client, portraits["obama"], "k").status_code == 200
        client.headers["Authorization"] = f"Bearer {admin}"
        assert client.post("/v1/galleries", json={"name": "other"}).status_code == 201
        client.headers["Authorization"] = f"Bearer {ada}"
        assert enroll(client, portraits["obama"], "k", "other").status_code == 200
    assert dict(keyed_server.services.places.get("default").identities()) == {"Ada": 2}
    assert dict(keyed_server.services.places.get("other").identities()) == {"Ada": 1}


def test_a_failed_request_is_done_anew(server: Running, portraits: dict[str, bytes]) -> None:
    with server.client() as client:
        assert enroll(client, portraits["obama"], "late", "missing").status_code == 404
        assert client.post("/v1/galleries", json={"name": "missing"}).status_code == 201
        assert enroll(client, portraits["obama"], "late", "missing").status_code == 200


def test_erasing_a_person_or_a_gallery_forgets_the_answers_that_tell_of_them(
    server: Running, portraits: dict[str, bytes]
) -> None:
    def kept() -> str:
        with server.services.state.reading() as connection:
            return " ".join(row["body"] for row in connection.execute("SELECT body FROM idempotency"))

    with server.client() as client:
        assert enroll(client, portraits["obama"], "one").status_code == 200
        headers = {"Content-Type": "image/jpeg", "Idempotency-Key": "two"}
        where = "/v1/galleries/default/enroll"
        client.post(where, params={"identity": "Ben"}, content=portraits["biden"], headers=headers)
        assert "Ada" in kept()
        assert client.delete("/v1/galleries/default/identity", params={"name": "Ada"}).status_code == 200
        assert "Ada" not in kept()
        assert "Ben" in kept()
        assert client.delete("/v1/galleries/default", params={"confirm": "default"}).status_code == 200
        assert kept() == ""
        assert enroll(client, portraits["obama"], "one").status_code == 200
    assert dict(server.services.places.get("default").identities()) == {"Ada": 1}
