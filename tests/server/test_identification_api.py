"""Identification and search: the recognizer's own candidates, for one image, several, and templates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from face_cases import BLUE, GREEN, PEOPLE, PNG, RED, drawn, fake_app, in_base64
from server_cases import AppClient, app_of, settings_in

import mien
from mien.recognizer.records import candidate_record

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """Red and green people are known; green ones work by night."""
    with fake_app(tmp_path_factory.mktemp("people"), max_top=5, max_images=3) as started:
        for name, color, tags in (("Rosa", RED, []), ("Verde", GREEN, ["night"])):
            query = {"identity": name, "tags": tags}
            assert started.post(f"{PEOPLE}/enroll", params=query, content=drawn(color), headers=PNG).status_code == 200
        yield started


def names(answer: object) -> list[list[str]]:
    assert isinstance(answer, dict)
    return [[candidate["identity"] for candidate in face["candidates"]] for face in answer["faces"]]


def test_candidates_are_the_recognizers(tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes]) -> None:
    with app_of(settings_in(tmp_path), real) as client:
        for name in ("obama2", "biden"):
            done = client.post(f"{PEOPLE}/enroll?identity={name}", content=portraits[name], headers=JPEG)
            assert done.status_code == 200
        gallery = client.services.places.get("default")
        for probe in ("obama", "astronaut", "group"):
            answer = client.post(f"{PEOPLE}/identify?top=2", content=portraits[probe], headers=JPEG).json()
            expected = real.identify(gallery, portraits[probe], top=2)
            assert len(answer["faces"]) == len(expected) > 0
            for face, matches in zip(answer["faces"], expected, strict=True):
                assert [c["identity"] for c in face["candidates"]] == [m.identity for m in matches]
                for found, match in zip(face["candidates"], matches, strict=True):
                    assert found.keys() == candidate_record(match).keys()
                    assert found["score"] == pytest.approx(match.score, abs=1e-5)
                    assert found["probability"] == pytest.approx(match.probability, abs=1e-4)
            assert answer["threshold"] == pytest.approx(real.threshold)
        assert names(client.post(f"{PEOPLE}/identify", content=portraits["obama"], headers=JPEG).json()) == [["obama2"]]
        rate = client.post(f"{PEOPLE}/identify?fpir=0.01", content=portraits["obama"], headers=JPEG).json()
        assert rate["threshold"] == pytest.approx(real.threshold_at(fpir=0.01, gallery=gallery), abs=1e-6)


def test_every_face_gets_its_candidates(client: AppClient) -> None:
    answer = client.post(f"{PEOPLE}/identify", content=drawn(GREEN, BLUE, RED), headers=PNG).json()
    assert names(answer) == [["Verde"], [], ["Rosa"]]
    assert answer["size_wh"] == [288, 96]
    everybody = client.post(f"{PEOPLE}/identify?top=5&threshold=-1", content=drawn(BLUE), headers=PNG).json()
    assert sorted(names(everybody)[0]) == ["Rosa", "Verde"]
    json = client.post(f"{PEOPLE}/identify", json={"image": in_base64(drawn(BLUE)), "top": 5, "threshold": -1})
    assert names(json.json()) == names(everybody)
    night = client.post(f"{PEOPLE}/identify?tags=night&tags=x", content=drawn(GREEN, RED), headers=PNG).json()
    assert names(night) == [["Verde"], []]


def test_several_images_are_identified_at_once(client: AppClient) -> None:
    files = [("images", ("a", drawn(RED))), ("images", ("b", b"no image")), ("images", ("c", drawn()))]
    answer = client.post(f"{PEOPLE}/identify-batch", files=files)
    first, second, third = answer.json()["results"]
    assert answer.status_code == 200
    assert names(first) == [["Rosa"]]
    assert (second["image"], second["error"]["code"]) == ("b", "bad_image")
    assert third["faces"] == []
    json = client.post(f"{PEOPLE}/identify-batch", json={"images": [in_base64(drawn(GREEN))] * 2}).json()["results"]
    assert [names(result) for result in json] == [[["Verde"]]] * 2
    many = client.post(f"{PEOPLE}/identify-batch", files=[*files, files[0]])
    assert (many.status_code, many.json()["code"]) == (413, "too_large")


def test_templates_are_searched(client: AppClient) -> None:
    embedded = client.post("/v1/embed", content=drawn(RED, GREEN, BLUE), headers=PNG).json()
    vectors = [face["template"] for face in embedded["faces"]]
    found = client.post(f"{PEOPLE}/search", json={"space": embedded["space"], "templates": vectors}).json()["results"]
    assert [[candidate["identity"] for candidate in candidates] for candidates in found] == [["Rosa"], ["Verde"], []]
    nothing = client.post(f"{PEOPLE}/search", json={"space": embedded["space"], "templates": []})
    assert nothing.json() == {"results": []}
    other = client.post(f"{PEOPLE}/search", json={"space": "other@1", "templates": vectors})
    assert (other.status_code, other.json()["code"]) == (409, "space_mismatch")


@pytest.mark.parametrize(
    "query", ["top=0", "top=6", "top=x", "threshold=2", "threshold=nan", "fmr=0", "fmr=1", "fpir=0.1&fmr=0.1", "who=me"]
)
def test_options_are_checked(client: AppClient, query: str) -> None:
    answer = client.post(f"{PEOPLE}/identify?{query}", content=drawn(RED), headers=PNG)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_rates_need_a_calibration(client: AppClient) -> None:
    for rate in ("fmr", "fpir"):
        answer = client.post(f"{PEOPLE}/identify?{rate}=0.01", content=drawn(RED), headers=PNG)
        assert (answer.status_code, answer.json()["code"]) == (409, "calibration_not_found")


def test_a_gallery_of_another_model_is_not_searched(tmp_path: Path) -> None:
    with fake_app(tmp_path) as client:
        gallery = client.services.places.get("default")
        gallery.add("Ada", mien.Templates(np.eye(1, 2, dtype=np.float32), "other@1"))
        for path in ("identify", "enroll?identity=Ada"):
            answer = client.post(f"{PEOPLE}/{path}", content=drawn(RED), headers=PNG)
            assert (answer.status_code, answer.json()["code"]) == (409, "space_mismatch")
