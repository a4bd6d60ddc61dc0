"""People of a gallery: enrolled, listed, shown, renamed, joined and erased."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from face_cases import BLUE, GREEN, PEOPLE, PNG, RED, drawn, fake_app, fake_recognizer, in_base64
from server_cases import AppClient

from mien.images import load

NAMES = [
    "Ada",
    "../../etc/passwd",
    "a/b\\c",
    "Robert'); DROP TABLE identities;--",
    "<script>alert(1)</script>",
    "\u202etxt.exe",
    "Łukasz 李 😀",
    "?name=x&y=%00",
]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AppClient]:
    """With an empty gallery of drawn people."""
    with fake_app(tmp_path) as started:
        yield started


def enroll(client: AppClient, name: str, image: bytes, **more: Any) -> Any:
    return client.post(f"{PEOPLE}/enroll", params={"identity": name, **more}, content=image, headers=PNG)


def listed(client: AppClient, **options: Any) -> list[str]:
    found = client.get(f"{PEOPLE}/identities", params=options).json()
    return [entry["identity"] for entry in found["identities"]]


def test_one_image_or_several_are_enrolled(client: AppClient) -> None:
    one = enroll(client, "Ada", drawn(RED), tags=["night", "day"])
    assert one.json() == {"results": [{"image": None, "identity": "Ada", "template_id": 1}]}
    files = [("images", ("a.png", drawn(GREEN))), ("images", ("b.png", drawn(GREEN)))]
    several = client.post(f"{PEOPLE}/enroll?identity=Grace", files=files)
    assert several.status_code == 200
    assert [(r["image"], r["template_id"]) for r in several.json()["results"]] == [("a.png", 2), ("b.png", 3)]
    json = client.post(
        f"{PEOPLE}/enroll", json={"identity": " Ada ", "images": [in_base64(drawn(RED))], "tags": ["new"]}
    )
    assert json.json()["results"][0]["identity"] == "Ada"
    shown = client.get(f"{PEOPLE}/identity?name=Ada").json()
    assert shown["tags"] == ["day", "new", "night"]
    assert [template["template_id"] for template in shown["templates"]] == [1, 4]


def test_some_images_may_fail(client: AppClient) -> None:
    files = [("images", (name, data)) for name, data in (("a", drawn(RED)), ("b", drawn()), ("c", drawn(RED, BLUE)))]
    answer = client.post(f"{PEOPLE}/enroll?identity=Ada", files=[*files, ("images", ("d", b"no image"))])
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert results[0]["template_id"] == 1
    assert [result["error"]["code"] for result in results[1:]] == ["no_face", "several_faces", "bad_image"]
    largest = client.post(f"{PEOPLE}/enroll?identity=Ada&face=largest", files=[files[0], files[2]])
    assert largest.status_code == 200


def test_the_only_image_that_fails_is_a_problem(client: AppClient) -> None:
    for image, code in ((drawn(), "no_face"), (drawn(RED, BLUE), "several_faces"), (b"", "bad_image")):
        answer = enroll(client, "Ada", image)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert listed(client) == []


def test_poor_faces_are_refused_with_reasons(tmp_path: Path) -> None:
    with fake_app(tmp_path, fake_recognizer(quality={"profile": "off", "min_eye_distance": 1000})) as client:
        answer = enroll(client, "Ada", drawn(RED))
        assert (answer.status_code, answer.json()["code"]) == (422, "quality_refused")
        assert [reason["name"] for reason in answer.json()["reasons"]] == ["too_small"]
        files = [("images", ("a", drawn(RED)))] * 2
        several = client.post(f"{PEOPLE}/enroll?identity=Ada", files=files)
        assert several.status_code == 207
        assert several.json()["results"][0]["error"]["reasons"][0]["message"].startswith("The face is too small")


def test_templates_are_enrolled_as_they_are(client: AppClient) -> None:
    embedded = client.post("/v1/embed", content=drawn(RED), headers=PNG).json()
    vector = embedded["faces"][0]["template"]
    body = {"identity": "Ada", "templates": [vector, vector], "space": embedded["space"]}
    answer = client.post(f"{PEOPLE}/enroll", json=body)
    assert [result["template_id"] for result in answer.json()["results"]] == [1, 2]
    kept = client.get(f"{PEOPLE}/identity/templates?name=Ada").json()
    assert kept["space"] == embedded["space"]
    stored = np.array(kept["templates"][0]["vector"], np.float32)
    assert (stored == np.array(vector, np.float32)).all()
    for change, status in (({"space": "other@1"}, 409), ({"space": None}, 422), ({"images": ["AAAA"]}, 422)):
        assert client.post(f"{PEOPLE}/enroll", json={**body, **change}).status_code == status
    assert client.post(f"{PEOPLE}/enroll", json={**body, "templates": [[1.0, 0.0]]}).status_code == 422


def test_the_same_request_is_done_once(client: AppClient) -> None:
    once = {**PNG, "Idempotency-Key": "one"}
    first = client.post(f"{PEOPLE}/enroll?identity=Ada", content=drawn(RED), headers=once)
    again = client.post(f"{PEOPLE}/enroll?identity=Ada", content=drawn(RED), headers=once)
    assert first.json() == again.json()
    assert client.get(PEOPLE).json()["templates"] == 1
    other = client.post(f"{PEOPLE}/enroll?identity=Eve", content=drawn(RED), headers=once)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    new = client.post(f"{PEOPLE}/enroll?identity=Ada", content=drawn(RED), headers={**PNG, "Idempotency-Key": "two"})
    assert new.json()["results"][0]["template_id"] == 2


def test_someone_has_to_be_named(client: AppClient) -> None:
    assert client.post(f"{PEOPLE}/enroll", content=drawn(RED), headers=PNG).status_code == 422
    for name in ("", " ", "a\0b", "a\nb", "x" * 1001):
        answer = enroll(client, name, drawn(RED))
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_input"), name
    assert listed(client) == []


def test_any_other_name_is_stored_as_it_is(client: AppClient) -> None:
    for name in NAMES:
        assert enroll(client, name, drawn(RED)).json()["results"][0]["identity"] == name
        assert client.get(f"{PEOPLE}/identity", params={"name": name}).json()["identity"] == name
    assert sorted(listed(client)) == sorted(NAMES)
    for name in NAMES:
        assert client.delete(f"{PEOPLE}/identity", params={"name": name}).json() == {"removed": 1}
    assert listed(client) == []


def test_lists_come_in_pages(client: AppClient) -> None:
    for name in ("b", "a", "d", "c", "Bob"):
        enroll(client, name, drawn(RED))
    pages: list[list[str]] = []
    after: str | None = None
    while True:
        options = {"limit": 2} if after is None else {"limit": 2, "after": after}
        found = client.get(f"{PEOPLE}/identities", params=options).json()
        assert found["total"] == 5
        pages.append([entry["identity"] for entry in found["identities"]])
        after = found["next"]
        if after is None:
            break
    assert pages == [["Bob", "a"], ["b", "c"], ["d"]]
    assert listed(client, containing="B") == ["Bob", "b"]
    for wrong in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"page": 2}):
        assert client.get(f"{PEOPLE}/identities", params=wrong).status_code == 422


def test_lists_and_people_have_tags_of_their_content(client: AppClient) -> None:
    enroll(client, "Ada", drawn(RED))
    for path in ("identities", "identity?name=Ada"):
        tag = client.get(f"{PEOPLE}/{path}").headers["ETag"]
        assert client.get(f"{PEOPLE}/{path}", headers={"If-None-Match": tag}).status_code == 304
    tag = client.get(f"{PEOPLE}/identities").headers["ETag"]
    enroll(client, "Eve", drawn(RED))
    assert client.get(f"{PEOPLE}/identities", headers={"If-None-Match": tag}).status_code == 200


def test_people_are_renamed_joined_and_tagged(client: AppClient) -> None:
    for name in ("Ada", "Adda", "Eve"):
        enroll(client, name, drawn(RED))
    renamed = client.patch(f"{PEOPLE}/identity?name=Adda", json={"name": "Ada L.", "tags": ["x"]})
    assert renamed.json() == {
        "identity": "Ada L.",
        "tags": ["x"],
        "templates": [{"template_id": 2, "has_portrait": False}],
    }
    taken = client.patch(f"{PEOPLE}/identity?name=Ada%20L.", json={"name": "Ada"})
    assert (taken.status_code, taken.json()["code"]) == (409, "identity_exists")
    merged = client.patch(f"{PEOPLE}/identity?name=Ada%20L.", json={"name": "Ada", "merge": True}).json()
    assert [template["template_id"] for template in merged["templates"]] == [1, 2]
    assert listed(client) == ["Ada", "Eve"]
    assert client.patch(f"{PEOPLE}/identity?name=Ada", json={"tags": []}).json()["tags"] == []
    for name, change, status in (("Ada", {}, 422), ("Ada", {"name": "a\nb"}, 422), ("Nobody", {"tags": []}, 404)):
        assert client.patch(f"{PEOPLE}/identity", params={"name": name}, json=change).status_code == status


def test_people_and_templates_are_erased(client: AppClient) -> None:
    for _ in range(3):
        enroll(client, "Ada", drawn(RED))
    assert client.delete(f"{PEOPLE}/templates/2").json() == {"removed": 1}
    assert client.delete(f"{PEOPLE}/identity?name=Ada").json() == {"removed": 2}
    for path in ("identity?name=Ada", "identity/templates?name=Ada", "templates/1/portrait"):
        assert client.get(f"{PEOPLE}/{path}").status_code == 404
    assert client.delete(f"{PEOPLE}/identity?name=Ada").json()["code"] == "identity_not_found"
    assert client.delete(f"{PEOPLE}/templates/2").json()["code"] == "template_not_found"
    for wrong in ("0", "-1", "x", str(2**64)):
        assert client.delete(f"{PEOPLE}/templates/{wrong}").status_code == 422


def test_portraits_are_shown_where_they_are_kept(client: AppClient) -> None:
    client.post("/v1/galleries", json={"name": "album", "portraits": True})
    client.post("/v1/galleries/album/enroll?identity=Ada", content=drawn(RED), headers=PNG)
    answer = client.get("/v1/galleries/album/templates/1/portrait")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert load(answer.content).shape == (256, 256, 3)
    assert cv2.mean(load(answer.content))[0] > 50
    assert client.get("/v1/galleries/album/identity?name=Ada").json()["templates"][0]["has_portrait"]
    enroll(client, "Ada", drawn(RED))
    assert client.get(f"{PEOPLE}/templates/1/portrait").json()["code"] == "template_not_found"


def test_galleries_have_to_be_there(client: AppClient) -> None:
    for answer in (
        client.get("/v1/galleries/none/identities"),
        client.post("/v1/galleries/none/enroll?identity=Ada", content=drawn(RED), headers=PNG),
        client.patch("/v1/galleries/none/identity?name=Ada", json={"tags": []}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "gallery_not_found")


def test_changes_are_logged_with_the_keys_name(tmp_path: Path) -> None:
    with fake_app(tmp_path, require_keys=True) as client:
        secret = client.services.keys.create("reception", ("enroll", "read"))[1]
        headers = {**PNG, "Authorization": f"Bearer {secret}"}
        assert client.post(f"{PEOPLE}/enroll?identity=Ada", content=drawn(RED), headers=headers).status_code == 200
        assert client.delete(f"{PEOPLE}/identity?name=Ada", headers=headers).status_code == 200
        gallery = client.services.places.get("default")
        entries = gallery.audit_log()  # type: ignore[attr-defined]
        assert {entry.actor for entry in entries} == {"key:reception"}
