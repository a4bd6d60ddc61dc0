"""Identify, compare, the threshold, galleries, the audit log and API keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from mien.images.samples import Samples


def test_identify_draws_boxes_and_candidates(peopled: Any, samples: Samples) -> None:
    peopled.open("identify", gallery="team")
    peopled.choose(samples.obama[2])
    expect(peopled.page.locator(".summary")).to_have_text("1 face, 1 is known.")
    expect(peopled.page.locator(".boxed svg text")).to_have_text("1 Barack Obama")
    row = peopled.page.locator(".face tbody tr").first
    expect(row).to_contain_text("Barack Obama")
    expect(row).to_contain_text(re.compile(r"9\d\.\d+\s%|over\s99.99\s%"))
    image = peopled.page.locator(".boxed img").bounding_box()
    box = peopled.page.locator(".boxed .box rect").first.bounding_box()
    assert image["x"] <= box["x"]
    assert box["x"] + box["width"] <= image["x"] + image["width"] + 1
    peopled.choose(samples.group)
    expect(peopled.page.locator(".summary")).to_have_text("6 faces, nobody known.")
    expect(peopled.page.locator(".box")).to_have_count(6)


def test_identify_among_tags(peopled: Any, samples: Samples) -> None:
    peopled.open("identify", gallery="team")
    peopled.page.get_by_label("Only people with the tags").fill("sports")
    peopled.choose(samples.obama[2])
    expect(peopled.page.locator(".summary")).to_have_text("1 face, nobody known.")
    peopled.page.get_by_label("Only people with the tags").fill("politics")
    peopled.page.keyboard.press("Tab")
    expect(peopled.page.locator(".summary")).to_have_text("1 face, 1 is known.")


def test_identify_by_the_camera(peopled: Any) -> None:
    peopled.open("identify", gallery="team")
    peopled.page.get_by_text("Use the camera").click()
    peopled.button("Turn the camera on").click()
    # The film is dark at first, and a face in the dark may not be found.
    peopled.page.wait_for_timeout(4500)
    peopled.button("Take photo").click()
    expect(peopled.page.locator(".summary")).to_have_text("1 face, 1 is known.")


@pytest.mark.parametrize("same", [True, False])
def test_compare_shows_the_score_on_the_scale(console: Any, samples: Samples, same: bool) -> None:
    console.open("compare")
    console.choose(samples.obama[0], nth=0)
    expect(console.page.locator(".empty")).to_contain_text("One more photo")
    console.choose(samples.obama[1] if same else samples.biden, nth=1)
    verdict = console.page.locator(".verdict")
    expect(verdict).to_have_text("The same person" if same else "Not the same person")
    chart = console.page.get_by_role("img", name=re.compile("Score .* threshold"))
    expect(chart).to_have_attribute("aria-label", re.compile("above" if same else "below"))
    for part in ("path.mated", "path.non-mated", "line.needle", "line.limit"):
        expect(chart.locator(part)).to_have_count(1)
    needle = float(chart.locator("line.needle").get_attribute("x1"))
    limit = float(chart.locator("line.limit").get_attribute("x1"))
    assert (needle > limit) is same
    expect(console.page.locator(".side .boxed")).to_have_count(2)


def test_compare_says_which_photo_has_no_face(console: Any, samples: Samples, tmp_path: Any) -> None:
    import cv2
    import numpy as np

    console.allowed.append("422")
    gray = tmp_path / "gray.png"
    cv2.imwrite(str(gray), np.full((200, 200, 3), 128, np.uint8))
    console.open("compare")
    console.choose(gray, nth=0)
    console.choose(samples.biden, nth=1)
    expect(console.page.get_by_role("alert")).to_contain_text("No face was found")


def test_the_threshold_moves_in_false_match_rates(peopled: Any, samples: Samples) -> None:
    asked: list[str] = []
    peopled.page.on("request", lambda request: asked.append(request.url))
    peopled.open("threshold")
    slider = peopled.page.get_by_label("False match rate")
    expect(peopled.page.locator("output")).to_have_text("1 in 10,000")
    first = float(peopled.page.locator(".facts dd").first.text_content())
    slider.press("End")
    expect(peopled.page.locator("output")).to_have_text("1 in 1,000,000")
    expect(slider).to_have_attribute("aria-valuetext", "1 in 1,000,000 strangers")
    expect(peopled.page.locator(".facts dd").first).not_to_have_text(f"{first:.3f}")
    assert float(peopled.page.locator(".facts dd").first.text_content()) > first
    slider.press("Home")
    expect(peopled.page.locator("output")).to_have_text("1 in 10")
    for _ in range(20):
        slider.press("ArrowRight")
    expect(peopled.page.locator("output")).to_have_text("1 in 1,000")
    peopled.open("identify", gallery="team")
    expect(peopled.page.locator("main")).to_contain_text("1 in 1,000 times")
    peopled.choose(samples.obama[2])
    expect(peopled.page.locator(".summary")).to_have_text("1 face, 1 is known.")
    assert any("fmr=0.001" in url for url in asked if "/identify" in url)


def test_galleries_are_made_and_erased(console: Any, server: Any) -> None:
    console.open()
    console.button("New gallery").click()
    create = console.dialog.get_by_role("button", name="Create")
    expect(create).to_be_disabled()
    console.dialog.get_by_label("Name").fill("no/slash")
    expect(create).to_be_disabled()
    console.dialog.get_by_label("Name", exact=True).fill("guests")
    console.dialog.get_by_label("Keep a small picture").check()
    create.click()
    console.told("The gallery guests was created.")
    row = console.page.locator("tbody tr", has_text="guests")
    expect(row).to_contain_text("kept")
    expect(console.page.locator(".activity")).to_contain_text("Created the gallery guests")
    console.button("Erase the gallery guests").click()
    console.dialog.get_by_label("Name").fill("guests")
    console.dialog.get_by_role("button", name="Erase the gallery").click()
    console.told("The gallery guests was erased.")
    expect(row).to_have_count(0)
    with server.client() as client:
        assert [one["name"] for one in client.get("/v1/galleries").json()["galleries"]] == ["default"]


def test_a_gallery_that_exists_is_not_made_again(console: Any) -> None:
    console.allowed.append("409")
    console.open()
    console.button("New gallery").click()
    console.dialog.get_by_label("Name").fill("default")
    console.dialog.get_by_role("button", name="Create").click()
    expect(console.dialog.get_by_role("alert")).not_to_be_empty()
    console.page.keyboard.press("Escape")
    expect(console.dialog).to_have_count(0)


def test_the_dashboard_counts_and_tells_what_happened(peopled: Any) -> None:
    peopled.open()
    tiles = peopled.page.locator(".tile")
    expect(tiles.nth(0)).to_contain_text("People2")
    expect(tiles.nth(0)).to_contain_text("3 templates")
    expect(tiles.nth(2)).to_contain_text(" ms")
    expect(peopled.page.locator(".activity")).to_contain_text("Enrolled in team")
    expect(peopled.page.locator(".facts")).to_contain_text("sface")


def test_the_audit_log_shows_and_filters(peopled: Any) -> None:
    peopled.open("audit")
    rows = peopled.page.locator("tbody tr")
    expect(rows).to_have_count(4)
    peopled.page.get_by_label("What").select_option("enroll")
    expect(rows).to_have_count(3)
    peopled.page.get_by_label("About the person").fill("Joe Biden")
    peopled.page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    assert "Biden" not in peopled.page.locator("table").inner_text()
    peopled.page.get_by_label("Who").fill("nobody")
    peopled.page.keyboard.press("Enter")
    expect(peopled.page.locator(".empty")).to_contain_text("Nothing to show")


def test_a_key_is_made_shown_once_and_revoked(console: Any, server: Any) -> None:
    console.open("keys")
    console.button("New key").click()
    console.dialog.get_by_label("Name", exact=True).fill("reception")
    console.dialog.get_by_label("Identify").check()
    console.dialog.get_by_label("Expires").select_option("30")
    console.dialog.get_by_label("Only for the galleries").fill("default")
    console.dialog.get_by_role("button", name="Create the key").click()
    secret = console.dialog.get_by_label("Key", exact=True).input_value()
    assert secret.startswith("mien_")
    console.dialog.get_by_role("button", name="I have kept it").click()
    row = console.page.locator("tbody tr")
    expect(row).to_contain_text("reception")
    expect(row).to_contain_text("read, identify")
    assert secret not in console.page.content()
    with server.client(headers={"Authorization": f"Bearer {secret}"}) as client:
        assert client.get("/v1/whoami").json()["name"] == "reception"
        console.button("Revoke the key reception").click()
        console.dialog.get_by_role("button", name="Revoke").click()
        expect(row).to_contain_text("Revoked")
        assert client.get("/v1/whoami").status_code == 401


def test_a_server_that_wants_a_key_is_given_one(keyed_server: Any, opened: Callable[..., Any]) -> None:
    console = opened(keyed_server.url)
    console.allowed.append("401")
    console.page.goto(console.url)
    expect(console.dialog).to_contain_text("API key")
    console.dialog.get_by_label("Key").fill("mien_wrong")
    console.page.keyboard.press("Enter")
    expect(console.dialog).to_contain_text("This key was refused")
    console.dialog.get_by_label("Key").fill(keyed_server.key("admin"))
    console.dialog.get_by_role("button", name="Continue").click()
    expect(console.page.locator("tbody tr")).to_contain_text("default")
    assert console.page.evaluate("Object.keys(localStorage)") == []
    console.page.reload()
    console.settled()
    console.button("Forget key").click()
    expect(console.dialog).to_contain_text("API key")
    console.page.keyboard.press("Escape")
    expect(console.page.get_by_role("alert")).to_contain_text("This needs an API key.")
    assert console.page.evaluate("sessionStorage.getItem('mien.key')") is None


def test_a_server_that_went_away_is_told(make_server: Callable[..., Any], opened: Callable[..., Any]) -> None:
    console = opened(make_server().url)
    console.allowed += ["ERR_"]
    console.open("people")
    console.page.route("**/v1/**", lambda route: route.abort())
    console.page.get_by_role("link", name="Jobs").click()
    expect(console.page.get_by_role("alert")).to_contain_text("The server does not answer.")
    console.page.unroute("**/v1/**")
    console.button("Try again").click()
    expect(console.page.locator(".empty")).to_contain_text("No jobs yet")


def test_a_running_job_is_canceled(console: Any, server: Any, samples: Samples) -> None:
    photo = samples.group.read_bytes()
    files = [("images", (f"Ada/{number}.jpg", photo, "image/jpeg")) for number in range(400)]
    with server.client() as client:
        client.post("/v1/jobs/enroll", params={"gallery": "default"}, files=files).raise_for_status()
    console.open("jobs")
    expect(console.page.locator(".job .pill")).to_have_text("Running")
    expect(console.page.get_by_role("progressbar")).to_be_visible()
    console.button("Cancel").click()
    console.dialog.get_by_role("button", name="Cancel the job").click()
    expect(console.page.locator(".job .pill")).to_have_text("Canceled")
    expect(console.button("Cancel")).to_have_count(0)


def test_a_migration_without_pictures_fails_in_words(console: Any, server: Any, samples: Samples) -> None:
    with server.client() as client:
        asked = {"identity": "Joe Biden"}
        content = {"content": samples.biden.read_bytes(), "headers": {"Content-Type": "image/jpeg"}}
        client.post("/v1/galleries/default/enroll", params=asked, **content).raise_for_status()
    console.allowed += ["422", "409", "404"]
    console.open("jobs")
    console.button("Migrate a gallery").click()
    expect(console.dialog.get_by_label("Gallery")).to_contain_text("default (no pictures kept)")
    console.dialog.get_by_label("Model").select_option("dlib-resnet")
    console.dialog.get_by_role("button", name="Start").click()
    expect(console.page.locator(".job .wrong:not(:empty), dialog .wrong:not(:empty)")).to_be_visible()
