"""Galleries: made, listed, shown and erased; and the places that hold them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from face_cases import PEOPLE, PNG, RED, drawn, fake_app
from server_cases import AppClient

from mien.errors import BadInput, GalleryExists, GalleryNotFound
from mien.galleries import GalleryOptions, galleries_at
from mien.server.places import Places
from mien.types import Templates


@pytest.fixture(params=["memory:", "sqlite"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AppClient]:
    """With galleries in memory, and in a file."""
    place = request.param if request.param == "memory:" else f"sqlite:///{tmp_path}/place/people.db"
    with fake_app(tmp_path, gallery=place) as started:
        yield started


def templates(*numbers: int) -> Templates:
    return Templates(np.eye(192, dtype=np.float32)[list(numbers)], "fake@00000000")


def test_default_is_there_from_the_start(client: AppClient) -> None:
    listed = client.get("/v1/galleries")
    assert [gallery["name"] for gallery in listed.json()["galleries"]] == ["default"]
    assert client.get(PEOPLE).json()["templates"] == 0


def test_galleries_are_made_shown_and_erased(client: AppClient) -> None:
    wanted = {"name": "staff", "codec": "int8", "portraits": True, "retention_days": 30, "fusion": "mean"}
    made = client.post("/v1/galleries", json=wanted)
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/galleries/staff")
    options = made.json()["options"]
    assert {name: options[name] for name in wanted if name != "name"} == {
        k: v for k, v in wanted.items() if k != "name"
    }
    again = client.post("/v1/galleries", json={"name": "staff"})
    assert (again.status_code, again.json()["code"]) == (409, "gallery_exists")
    enrolled = client.post("/v1/galleries/staff/enroll?identity=Ada", content=drawn(RED), headers=PNG)
    assert enrolled.status_code == 200
    shown = client.get("/v1/galleries/staff")
    assert [shown.json()[name] for name in ("identities", "templates", "portraits")] == [1, 1, 1]
    assert shown.json()["space"] == "fake@00000000"
    assert client.get("/v1/galleries/staff", headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    refused = client.delete("/v1/galleries/staff?confirm=other")
    assert (refused.status_code, client.get("/v1/galleries/staff").status_code) == (422, 200)
    assert client.delete("/v1/galleries/staff").status_code == 422
    assert client.delete("/v1/galleries/staff?confirm=staff").json() == {"removed": 1}
    for answer in (client.get("/v1/galleries/staff"), client.delete("/v1/galleries/staff?confirm=staff")):
        assert (answer.status_code, answer.json()["code"]) == (404, "gallery_not_found")
    assert client.post("/v1/galleries", json=wanted).status_code == 201
    assert client.get("/v1/galleries/staff").json()["templates"] == 0


def test_lists_have_tags_of_their_content(client: AppClient) -> None:
    tag = client.get("/v1/galleries").headers["ETag"]
    same = client.get("/v1/galleries", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content) == (304, b"")
    client.post("/v1/galleries", json={"name": "staff"})
    assert client.get("/v1/galleries", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../etc", "a/b", "a b", "a\0b", "ä", "a" * 65, "a'; DROP TABLE x;--", "<b>", "\u202ea"]
)
def test_galleries_have_plain_names(client: AppClient, name: str) -> None:
    answer = client.post("/v1/galleries", json={"name": name})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    assert client.get(f"/v1/galleries/{quoted or '%20'}").status_code in (404, 422)


@pytest.mark.parametrize("change", [{"codec": "zip"}, {"retention_days": 0}, {"retention_days": -1}, {"path": "/tmp"}])
def test_options_are_checked(client: AppClient, change: dict[str, object]) -> None:
    assert client.post("/v1/galleries", json={"name": "staff", **change}).status_code == 422
    assert client.get("/v1/galleries/staff").status_code == 404


def test_options_that_a_place_does_not_have_are_refused(tmp_path: Path) -> None:
    with fake_app(tmp_path, gallery="memory:") as client:
        for option in ({"audit": "all"}, {"audit_days": 7}):
            answer = client.post("/v1/galleries", json={"name": "staff", **option})
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_the_place_is_private_and_of_the_servers_making(tmp_path: Path) -> None:
    with fake_app(tmp_path, gallery=f"sqlite:///{tmp_path}/server/people.db") as client:
        client.post("/v1/galleries", json={"name": "staff"})
    assert [found.name for found in galleries_at(f"sqlite:///{tmp_path}/server/people.db")] == ["default", "staff"]
    assert (tmp_path / "server").stat().st_mode & 0o077 == 0


def test_options_of_the_place_hold_for_the_default_gallery(tmp_path: Path) -> None:
    places = Places(f"sqlite:///{tmp_path}/people.db?codec=int8&timeout_s=1")
    assert places.get("default").options.codec == "int8"
    assert places.create("plain", GalleryOptions()).options.codec == "float32"
    places.close()
    again = Places(f"sqlite:///{tmp_path}/people.db?codec=float32")
    assert again.get("default").options.codec == "int8"
    again.close()


def test_a_gallery_is_opened_once(tmp_path: Path) -> None:
    places = Places(f"sqlite:///{tmp_path}/people.db")
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(places.get("default"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert places.kept("default") is found[0]
    places.close()
    assert places.kept("default") is None


def test_what_another_process_erased_is_gone_here_too(tmp_path: Path) -> None:
    """Two ``Places`` on one file are as two workers: what one erases and makes anew, the other has anew."""
    url = f"sqlite:///{tmp_path}/people.db"
    first, second = Places(url), Places(url)
    first.create("staff").add("Ada", templates(0))
    assert second.using("staff", len) == 1
    assert first.remove("staff") == 1
    with pytest.raises(GalleryNotFound):
        second.using("staff", lambda gallery: gallery.search(templates(0)))
    first.create("staff").add("Bob", templates(1, 2))
    assert second.using("staff", lambda gallery: gallery.search(templates(1)))[0][0].identity == "Bob"
    with pytest.raises(GalleryExists):
        second.create("staff")
    assert first.remove("staff") == 2
    first.create("staff").add("Eve", templates(3))
    assert second.using("staff", lambda gallery: gallery.search(templates(3)))[0][0].identity == "Eve"
    first.close()
    second.close()


def test_a_place_that_may_not_be_changed_has_no_default(tmp_path: Path) -> None:
    Places(f"sqlite:///{tmp_path}/people.db").create("staff").close()
    places = Places(f"sqlite:///{tmp_path}/people.db?mode=ro")
    assert [summary.name for summary in places.list()] == ["staff"]
    with pytest.raises(GalleryNotFound):
        places.get("default")
    with pytest.raises(BadInput):
        places.get("../people")
    places.close()


def test_keys_see_their_own_galleries(tmp_path: Path) -> None:
    with fake_app(tmp_path, require_keys=True) as client:
        keys = client.services.keys
        admin = {"Authorization": f"Bearer {keys.create('boss', ('admin',))[1]}"}
        for name in ("staff", "guests"):
            assert client.post("/v1/galleries", json={"name": name}, headers=admin).status_code == 201
        own = {"Authorization": f"Bearer {keys.create('door', ('read', 'enroll'), galleries=('staff',))[1]}"}
        listed = client.get("/v1/galleries", headers=own).json()["galleries"]
        assert [gallery["name"] for gallery in listed] == ["staff"]
        assert client.get("/v1/galleries/guests", headers=own).status_code == 403
        assert client.post("/v1/galleries", json={"name": "more"}, headers=own).status_code == 403
