"""What one does with people: enroll, find, rename, join and erase them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from mien.images.samples import Samples


def identities(server: Any, gallery: str = "default") -> dict[str, int]:
    """Who is in a gallery, as the server says."""
    with server.client() as client:
        listed = client.get(f"/v1/galleries/{gallery}/identities").json()["identities"]
    return {one["identity"]: one["templates"] for one in listed}


def test_enroll_by_files(console: Any, server: Any, samples: Samples) -> None:
    console.open("enroll")
    console.choose(samples.obama[0], samples.obama[1])
    expect(console.page.locator(".photo .state", has_text="Good")).to_have_count(2)
    name = console.page.get_by_label("Who is this?")
    expect(name).to_be_focused()
    name.fill("Barack Obama")
    console.page.get_by_label("Tags").fill("politics, day")
    console.button("Enroll 2 photos").click()
    console.told("2 photos were enrolled.")
    expect(console.page.locator(".photo[data-kind=done]")).to_have_count(2)
    assert identities(server) == {"Barack Obama": 2}
    console.page.get_by_role("link", name="Show the people").click()
    console.page.get_by_role("link", name="Barack Obama").click()
    expect(console.page.locator(".tag-chip")).to_have_text(["day", "politics"])


def test_enroll_by_a_folder_of_folders(console: Any, server: Any, samples: Samples, tmp_path: Path) -> None:
    for name, photos in {"Ada Obama": samples.obama[:2], "Eileen Collins": [samples.astronaut]}.items():
        (tmp_path / "people" / name).mkdir(parents=True)
        for photo in photos:
            (tmp_path / "people" / name / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "people" / "notes.txt").write_text("no picture")
    console.open("enroll")
    console.page.locator("[data-role=folder]").set_input_files(tmp_path / "people")
    fields = console.page.get_by_label("Who is this?")
    expect(fields).to_have_count(2)
    assert sorted(fields.nth(k).input_value() for k in range(2)) == ["Ada Obama", "Eileen Collins"]
    console.button("Enroll 3 photos").click()
    console.told("3 photos were enrolled.")
    assert identities(server) == {"Ada Obama": 2, "Eileen Collins": 1}


def test_enroll_by_dropping(console: Any, server: Any, samples: Samples) -> None:
    console.open("enroll")
    # A browser lets no script make a drop of files from the disk; one of files from the page is the same event.
    console.page.locator(".drop").evaluate(
        """async (zone, bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "biden.jpg", {type: "image/jpeg"}));
            zone.dispatchEvent(new DragEvent("dragover", {dataTransfer: transfer, bubbles: true, cancelable: true}));
            zone.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        list(samples.biden.read_bytes()),
    )
    console.page.get_by_label("Who is this?").fill("Joe Biden")
    console.button("Enroll 1 photo").click()
    console.told("1 photo was enrolled.")
    assert identities(server) == {"Joe Biden": 1}


def test_a_picture_of_too_many_pixels_is_told_so(console: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.zeros((7100, 7100), np.uint8))
    console.allowed += ["422"]
    console.open("identify")
    console.choose(large)
    expect(console.page.locator("main")).to_contain_text("more pixels than the server takes")


def test_what_is_wrong_with_a_photo_is_said_in_words(
    console: Any, server: Any, samples: Samples, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(samples.biden.read_bytes()[:200])
    # The browser's console tells of every answer that is an error, and of pictures that it cannot show.
    console.allowed += ["422"]
    console.open("enroll")
    console.choose(samples.group, broken)
    states = console.page.locator(".photo .state")
    expect(states.nth(0)).to_contain_text("Several faces")
    expect(states.nth(1)).to_contain_text("cannot be read as a picture")
    console.button("Enroll 2 photos").click()
    console.told("Say who this is first.")
    console.page.get_by_label("Who is this?").fill("Six people")
    console.button("Enroll 2 photos").click()
    expect(console.page.locator(".photo[data-kind=failed]")).to_have_count(2)
    expect(states.nth(0)).to_contain_text("There are several faces.")
    expect(console.page.locator(".go")).to_contain_text("0 photos were enrolled, 2 refused.")
    assert identities(server) == {}
    console.button("Leave out broken.jpg").click()
    expect(console.page.locator(".photo")).to_have_count(1)


def test_enroll_by_the_camera_with_guidance(console: Any, server: Any) -> None:
    console.open("enroll")
    console.button("Turn the camera on").click()
    advice = console.page.locator(".advice")
    # The film is dark for four seconds, then light for five.
    expect(advice).to_contain_text("too dark")
    expect(console.page.locator(".camera[data-state=poor]")).to_be_visible()
    expect(advice).to_have_text("Good. Take the photo.")
    console.button("Take photo").click()
    expect(console.page.locator(".photo .state")).to_contain_text("Good")
    console.page.get_by_label("Who is this?").fill("Barack Obama")
    console.button("Turn the camera off").click()
    expect(advice).to_have_text("The camera is off.")
    console.button("Enroll 1 photo").click()
    console.told("1 photo was enrolled.")
    assert identities(server) == {"Barack Obama": 1}


def test_the_camera_is_off_when_its_page_is_left(console: Any) -> None:
    console.open("enroll")
    console.page.evaluate(
        "() => { const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (w) => { window.stream = await ask(w); return window.stream; }; }"
    )
    console.button("Turn the camera on").click()
    expect(console.button("Take photo")).to_be_enabled()
    console.page.get_by_role("link", name="People").click()
    expect(console.page.locator("h1")).to_have_text("People")
    assert console.page.evaluate("window.stream.getTracks().map((track) => track.readyState)") == ["ended"]


def test_a_camera_that_is_refused_is_told(console: Any) -> None:
    console.before(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));"
    )
    console.open("enroll")
    console.button("Turn the camera on").click()
    expect(console.page.locator(".advice")).to_contain_text("Allow it in the address bar")
    expect(console.button("Take photo")).to_be_disabled()


def test_search_by_name(peopled: Any) -> None:
    peopled.open("people", gallery="team")
    rows = peopled.page.locator("tbody tr")
    expect(rows).to_have_count(2)
    peopled.page.get_by_label("Search by name").fill("BID")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Joe Biden")
    peopled.page.get_by_label("Search by name").fill("nobody at all")
    expect(peopled.page.locator(".empty")).to_contain_text("Nobody has this in the name")


def test_many_people_come_page_by_page(console: Any, server: Any) -> None:
    vectors = [[float(k == row) for k in range(128)] for row in range(2)]
    with server.client() as client:
        space = client.get("/v1/version").json()["space"]
        for number in range(60):
            body = {"identity": f"Person {number:03}", "templates": vectors[:1], "space": space}
            client.post("/v1/galleries/default/enroll", json=body).raise_for_status()
    console.open("people")
    rows = console.page.locator("tbody tr")
    expect(rows).to_have_count(50)
    console.button("Show more").click()
    expect(rows).to_have_count(60)
    expect(rows.nth(50).get_by_role("link")).to_be_focused()
    expect(console.button("Show more")).to_have_count(0)


def test_rename(peopled: Any, server: Any) -> None:
    peopled.open("person", gallery="team", name="Joe Biden")
    peopled.button("Rename").click()
    expect(peopled.dialog.get_by_role("button", name="Rename")).to_be_disabled()
    peopled.dialog.get_by_label("New name").fill("Joseph / <b>Biden</b> & 拜登")
    peopled.dialog.get_by_role("button", name="Rename").click()
    expect(peopled.page.locator("h1")).to_have_text("Joseph / <b>Biden</b> & 拜登")
    assert identities(server, "team") == {"Barack Obama": 2, "Joseph / <b>Biden</b> & 拜登": 1}


def test_renaming_to_a_name_that_is_taken_offers_to_merge(peopled: Any, server: Any) -> None:
    peopled.allowed.append("409")
    peopled.open("person", gallery="team", name="Joe Biden")
    peopled.button("Rename").click()
    peopled.dialog.get_by_label("New name").fill("Barack Obama")
    peopled.dialog.get_by_role("button", name="Rename").click()
    expect(peopled.dialog).to_contain_text("Barack Obama is there already")
    peopled.dialog.get_by_role("button", name="Cancel").click()
    assert identities(server, "team") == {"Barack Obama": 2, "Joe Biden": 1}
    peopled.button("Rename").click()
    peopled.dialog.get_by_label("New name").fill("Barack Obama")
    peopled.dialog.get_by_role("button", name="Rename").click()
    peopled.dialog.get_by_role("button", name="Merge").click()
    expect(peopled.page.locator("h1")).to_have_text("Barack Obama")
    assert identities(server, "team") == {"Barack Obama": 3}


def test_merging_with_nobody_is_refused(peopled: Any, server: Any) -> None:
    peopled.allowed.append("404")
    peopled.open("person", gallery="team", name="Joe Biden")
    peopled.button("Merge").click()
    peopled.dialog.get_by_label("Goes to").fill("Baracko Bama")
    peopled.dialog.get_by_role("button", name="Merge").click()
    expect(peopled.dialog.get_by_role("alert")).not_to_be_empty()
    assert identities(server, "team") == {"Barack Obama": 2, "Joe Biden": 1}


def test_erase_needs_the_name_to_be_typed(peopled: Any, server: Any) -> None:
    peopled.open("person", gallery="team", name="Joe Biden")
    peopled.button("Erase").click()
    erase = peopled.dialog.get_by_role("button", name="Erase")
    expect(erase).to_be_disabled()
    peopled.dialog.get_by_label("Name").fill("joe")
    expect(erase).to_be_disabled()
    peopled.page.keyboard.press("Enter")
    assert "Joe Biden" in identities(server, "team")
    peopled.dialog.get_by_label("Name").fill("Joe Biden")
    erase.click()
    peopled.told("Joe Biden was erased.")
    expect(peopled.page.locator("h1")).to_have_text("People")
    assert identities(server, "team") == {"Barack Obama": 2}


def test_tags_and_single_templates(peopled: Any, server: Any) -> None:
    peopled.open("person", gallery="team", name="Barack Obama")
    peopled.button("Edit tags").click()
    peopled.dialog.get_by_label("Tags").fill("night")
    peopled.dialog.get_by_role("button", name="Save").click()
    expect(peopled.page.locator(".tag-chip")).to_have_text(["night"])
    peopled.page.get_by_role("button", name=re.compile("Erase template")).first.click()
    peopled.dialog.get_by_role("button", name="Erase").click()
    expect(peopled.page.locator(".photo")).to_have_count(1)
    assert identities(server, "team")["Barack Obama"] == 1


def test_many_photos_go_as_a_job(console: Any, server: Any, samples: Samples, tmp_path: Path) -> None:
    folder = tmp_path / "Barack Obama"
    folder.mkdir()
    for number in range(61):
        (folder / f"{number}.jpg").write_bytes(
            samples.obama[0].read_bytes() if number < 3 else samples.group.read_bytes()
        )
    console.open("enroll")
    console.page.locator("[data-role=folder]").set_input_files(folder)
    console.button("Enroll 61 photos").click()
    expect(console.page.locator("h1")).to_have_text("Jobs")
    expect(console.page.locator(".job .pill")).to_have_text("Done", timeout=120_000)
    console.page.get_by_text("58 photos failed").click()
    expect(console.page.locator(".job li").first).to_contain_text("There are several faces.")
    assert identities(server) == {"Barack Obama": 3}


def test_a_reader_is_told_that_it_may_not(keyed_server: Any, opened: Callable[..., Any], samples: Samples) -> None:
    console = opened(keyed_server.url)
    console.allowed += ["401", "403"]
    console.before(f"sessionStorage.setItem('mien.key', '{keyed_server.key('read')}')")
    console.open("enroll")
    console.choose(samples.biden)
    console.page.get_by_label("Who is this?").fill("Joe Biden")
    console.button("Enroll 1 photo").click()
    expect(console.page.locator(".photo .state")).to_contain_text("enroll")
    expect(console.page.locator(".photo[data-kind=failed]")).to_have_count(1)
