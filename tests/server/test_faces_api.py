"""Detect, quality, embed, verify and compare: the recognizer's own results, however the image comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_cases import BLUE, GREEN, PNG, RED, drawn, fake_app, fake_recognizer, in_base64
from server_cases import AppClient, app_of, settings_in

import mien
from mien.recognizer.records import face_records, quality_records, refusals, verification_record
from mien.server.advice import ADVICE

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """With drawn faces."""
    with fake_app(tmp_path_factory.mktemp("faces")) as client:
        yield client


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, real: mien.Recognizer) -> Iterator[AppClient]:
    """With the real models."""
    with app_of(settings_in(tmp_path_factory.mktemp("people")), real) as client:
        yield client


def same_numbers(found: Any, expected: Any) -> None:
    """Equal values; numbers as near as a batch's are to those of single calls."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            same_numbers(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same_numbers(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=2e-3)
    else:
        assert found == expected


@pytest.mark.parametrize("name", ["obama", "group"])
def test_answers_are_the_recognizers(
    people: AppClient, real: mien.Recognizer, portraits: dict[str, bytes], name: str
) -> None:
    image = portraits[name]
    alone = real.analyze(image)
    detected = people.post("/v1/detect", content=image, headers=JPEG).json()
    same_numbers(detected, {"image": None, "size_wh": list(alone.size_wh), "faces": face_records(alone.faces)})
    embedded = people.post("/v1/embed", content=image, headers=JPEG).json()
    assert embedded["space"] == real.space
    vectors = np.array([face["template"] for face in embedded["faces"]], np.float32)
    np.testing.assert_allclose(vectors, alone.templates.vectors, atol=1e-5)
    measured = people.post("/v1/quality", content=image, headers=JPEG).json()["faces"]
    quality = real.assess(image)
    expected = quality_records(quality, refusals(quality, real.settings.quality_limits()))
    for record in expected:
        for reason in record["reasons"]:
            reason["message"] = ADVICE[reason["name"]]
    same_numbers(measured, expected)
    assert all(face["good_enough"] for face in measured) == (name == "obama")


def test_verify_answers_as_the_recognizer(
    people: AppClient, real: mien.Recognizer, portraits: dict[str, bytes]
) -> None:
    answer = people.post("/v1/verify", files={"a": portraits["obama"], "b": portraits["obama2"]})
    assert answer.status_code == 200
    found = answer.json()
    assert found["a"]["xyxy"][0] > 0
    assert found["b"]["score"] > 0.5
    expected = verification_record(real.verify(portraits["obama"], portraits["obama2"]))
    same_numbers({key: found[key] for key in expected}, expected)
    assert found["match"] is True
    other = people.post("/v1/verify?fmr=1e-3", files={"a": portraits["obama"], "b": portraits["biden"]}).json()
    assert other["match"] is False
    assert other["threshold"] == pytest.approx(real.threshold_at(fmr=1e-3), abs=1e-6)


def test_every_kind_of_body_gives_the_same(faces: AppClient) -> None:
    image = drawn(RED, GREEN)
    raw = faces.post("/v1/detect", content=image, headers=PNG)
    octets = faces.post("/v1/detect", content=image, headers={"Content-Type": "application/octet-stream"})
    form = faces.post("/v1/detect", files={"image": ("two.png", image)})
    json = faces.post("/v1/detect", json={"image": in_base64(image)})
    url = faces.post("/v1/detect", json={"image": f"data:image/png;base64,{in_base64(image)}"})
    assert [answer.status_code for answer in (raw, octets, form, json, url)] == [200] * 5
    assert raw.json() == octets.json() == json.json() == url.json()
    assert form.json() == {**raw.json(), "image": "two.png"}
    assert len(raw.json()["faces"]) == 2


def test_options_come_in_the_query_or_in_json(faces: AppClient) -> None:
    image = drawn(RED, GREEN)
    for path in ("detect", "quality", "embed"):
        raw = faces.post(f"/v1/{path}?largest=true", content=image, headers=PNG)
        json = faces.post(f"/v1/{path}", json={"image": in_base64(image), "largest": True})
        assert len(raw.json()["faces"]) == len(json.json()["faces"]) == 1, path
    unknown = faces.post("/v1/detect?larges=true", content=image, headers=PNG)
    assert (unknown.status_code, unknown.json()["code"]) == (422, "bad_input")


def test_no_face_is_no_error(faces: AppClient) -> None:
    answer = faces.post("/v1/detect", content=drawn(), headers=PNG)
    assert (answer.status_code, answer.json()["faces"]) == (200, [])


def test_several_reasons_are_told_in_words(faces: AppClient) -> None:
    found = faces.post("/v1/quality", content=drawn(RED, GREEN), headers=PNG).json()["faces"]
    assert {reason["message"] for face in found for reason in face["reasons"]} == {ADVICE["several_faces"]}


def test_verify_takes_templates_for_images(faces: AppClient) -> None:
    embedded = faces.post("/v1/embed", content=drawn(RED), headers=PNG).json()
    template = {"template": embedded["faces"][0]["template"], "space": embedded["space"]}
    mixed = faces.post("/v1/verify", json={"a": template, "b": {"image": in_base64(drawn(RED))}}).json()
    assert mixed["score"] == pytest.approx(1, abs=1e-5)
    assert mixed["a"] is None
    assert mixed["b"]["xyxy"] == [8, 8, 64, 64]
    other = faces.post("/v1/verify", json={"a": template, "b": {"image": in_base64(drawn(BLUE))}}).json()
    assert other["match"] is False


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"a": {"image": in_base64(drawn())}, "b": {"image": in_base64(drawn(RED))}}, 422, "no_face"),
        ({"a": {"image": in_base64(drawn(RED, BLUE))}, "b": {"image": in_base64(drawn(RED))}}, 422, "several_faces"),
        ({"a": {}, "b": {"image": in_base64(drawn(RED))}}, 422, "bad_input"),
        ({"a": {"template": [1.0], "space": "fake@00000000"}, "b": {"image": "AAAA"}}, 422, "bad_input"),
        ({"a": {"template": [0.5] * 192, "space": "fake@00000000"}, "b": {"image": "AAAA"}}, 422, "bad_input"),
        ({"a": {"template": [1.0] + [0.0] * 191}, "b": {"image": in_base64(drawn(RED))}}, 422, "bad_input"),
        (
            {"a": {"template": [1.0] + [0.0] * 191, "space": "other@1"}, "b": {"image": in_base64(drawn(RED))}},
            409,
            "space_mismatch",
        ),
        ({"a": {"image": "/etc/passwd"}, "b": {"image": "http://127.0.0.1/"}}, 422, "bad_image"),
    ],
)
def test_what_cannot_be_verified(faces: AppClient, body: dict[str, Any], status: int, code: str) -> None:
    answer = faces.post("/v1/verify", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_largest_face_is_verified_where_asked_for(faces: AppClient) -> None:
    files = {"a": drawn(RED, BLUE), "b": drawn(RED)}
    assert faces.post("/v1/verify?face=largest", files=files).json()["match"] is True
    assert faces.post("/v1/verify", files=files).json()["code"] == "several_faces"


def test_both_sides_are_needed(faces: AppClient) -> None:
    for files in ({"a": drawn(RED)}, {"a": drawn(RED), "c": drawn(RED)}):
        answer = faces.post("/v1/verify", files=files)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")
    twice = faces.post("/v1/verify", files=[("a", drawn(RED)), ("a", drawn(RED))])
    assert twice.status_code == 422


def test_rates_need_a_calibration(faces: AppClient) -> None:
    answer = faces.post("/v1/verify?fmr=1e-3", files={"a": drawn(RED), "b": drawn(RED)})
    assert (answer.status_code, answer.json()["code"]) == (409, "calibration_not_found")
    both = faces.post("/v1/verify?fmr=1e-3&threshold=0.5", files={"a": drawn(RED), "b": drawn(RED)})
    assert (both.status_code, both.json()["code"]) == (422, "bad_input")


def test_many_are_compared_with_many(faces: AppClient) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((5, 192)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    given = {"space": "fake@00000000", "a": vectors[:2].tolist(), "b": vectors.tolist(), "threshold": 0.99}
    found = faces.post("/v1/compare", json=given).json()
    np.testing.assert_allclose(found["scores"], vectors[:2] @ vectors.T, atol=1e-5)
    assert found["matches"] == [[k == row for k in range(5)] for row in range(2)]
    assert faces.post("/v1/compare", json={**given, "a": []}).json()["scores"] == []
    other = faces.post("/v1/compare", json={**given, "space": "other@1"})
    assert other.status_code == 409


def test_comparisons_are_bounded(faces: AppClient) -> None:
    vector = [1.0] + [0.0] * 191
    answer = faces.post("/v1/compare", json={"space": "fake@00000000", "a": [vector] * 1001, "b": [vector] * 1000})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_versions_models_and_calibration(people: AppClient, faces: AppClient, real: mien.Recognizer) -> None:
    assert people.get("/v1/version").json()["space"] == real.space
    models = {model["name"]: model for model in people.get("/v1/models").json()["models"]}
    assert models["sface"]["in_use"]
    assert models["sface"]["license"] == "Apache-2.0"
    assert not models["dlib-resnet"]["in_use"]
    answer = people.get("/v1/calibration")
    found = answer.json()
    assert found["threshold"] == pytest.approx(real.threshold)
    assert [rate["fmr"] for rate in found["fmr"]] == sorted((rate["fmr"] for rate in found["fmr"]), reverse=True)
    chances = [point["probability"] for point in found["curve"]]
    assert chances == sorted(chances)
    assert sum(found["histograms"]["mated"]) > 1000
    assert people.get("/v1/calibration", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    one = people.get("/v1/calibration?fmr=1e-4").json()
    assert one["threshold"] == pytest.approx(real.threshold_at(fmr=1e-4), abs=1e-6)
    nothing = faces.get("/v1/calibration").json()
    assert (nothing["fmr"], nothing["curve"], nothing["histograms"]) == ([], [], None)
    assert faces.get("/v1/calibration?fmr=1e-4").status_code == 409


def test_the_recognizers_own_limits_hold(tmp_path: Path) -> None:
    with fake_app(tmp_path, fake_recognizer(max_pixels=50 * 50)) as client:
        answer = client.post("/v1/detect", content=drawn(RED), headers=PNG)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_image")
