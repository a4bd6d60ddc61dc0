"""Every page: accessible in light and dark, wide and on a phone; with and without people; and its picture."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from mien.images.samples import Samples

PAGES = ("dashboard", "enroll", "identify", "compare", "people", "person", "threshold", "jobs", "audit", "keys")
IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
# Taken out of the environment: settings refuse MIEN_ variables that they do not know.
SCREENSHOTS = os.environ.pop("MIEN_SCREENSHOTS", "") == "1"
LARGEST_BYTES = 150_000
JOB_S = 60
PHONE = {"width": 360, "height": 740}
# In the pictures of the documentation: these in the dark too, and these on a phone.
DARK, SMALL = ("dashboard", "compare"), ("identify", "enroll")
PERSON = {"gallery": "team", "name": "Barack Obama"}


def violations(page: Any) -> list[str]:
    """What axe finds wrong, a line each."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


def with_work(server: Any, samples: Samples) -> None:
    """Give a server keys and a job that has ended, so that their pages have something to show."""
    server.services.keys.create("reception", ["read", "identify"])
    server.services.keys.create("import", ["enroll"], expires_s=86_400 * 30, galleries=["team"])
    server.services.keys.revoke(server.services.keys.create("old program", ["admin"])[0].id)
    photos = [("Eileen Collins", samples.astronaut), *(("Barack Obama", path) for path in samples.obama)]
    photos.append(("Group", samples.group))
    files = [("images", (f"{name}/{path.name}", path.read_bytes())) for name, path in photos]
    with server.client() as client:
        answer = client.post("/v1/jobs/enroll", params={"gallery": "default"}, files=files)
        answer.raise_for_status()
        deadline = time.monotonic() + JOB_S
        while client.get(f"/v1/jobs/{answer.json()['id']}").json()["state"] != "done":
            assert time.monotonic() < deadline
            time.sleep(0.05)


def fill_page(console: Any, name: str, samples: Samples) -> None:
    """Open a page and do on it what it is for, so that there is something to see."""
    if name == "person":
        console.open(name, **PERSON)
    else:
        console.open(name, **({"gallery": "team"} if name in ("enroll", "identify", "people") else {}))
    page = console.page
    if name == "enroll":
        console.choose(samples.astronaut)
        expect(page.locator(".photo .state")).to_contain_text("Good")
        page.get_by_label("Who is this?").fill("Eileen Collins")
        page.get_by_role("button", name="Turn the camera on").click()
        expect(page.locator(".camera[data-state=good]")).to_be_visible()
    elif name == "identify":
        console.choose(samples.obama[2])
        expect(page.locator(".boxed svg text")).to_contain_text("Barack Obama")
    elif name == "compare":
        console.choose(samples.obama[0], nth=0)
        console.choose(samples.obama[1], nth=1)
        expect(page.locator(".verdict")).to_have_text("The same person")
        expect(page.locator(".side .boxed")).to_have_count(2)
    elif name == "person":
        expect(page.locator(".photo img")).to_have_count(2)
    console.settled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    peopled: Any, server: Any, samples: Samples, opened: Callable[..., Any], scheme: str, size: str
) -> None:
    viewport = {"viewport": PHONE} if size == "phone" else {}
    console = opened(peopled.url, color_scheme=scheme, **viewport)
    with_work(server, samples)
    found: dict[str, list[str]] = {}
    for name in PAGES:
        fill_page(console, name, samples)
        too_wide = console.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"{name} is {too_wide} pixels wider than the window"
        found[name] = violations(console.page)
        _picture(console, name, scheme, size)
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_empty_pages_tell_the_next_step_and_are_accessible(console: Any) -> None:
    steps = {
        "dashboard": "Enroll the first person",
        "enroll": "Drop photos or a folder",
        "identify": "Enroll someone",
        "compare": "Give two photos",
        "people": "Enroll people to see them here",
        "jobs": "Enrolling more than 60 photos",
        "keys": "Create the first key",
    }
    for name, step in steps.items():
        console.open(name)
        expect(console.page.locator(".empty").first).to_contain_text(step)
        assert violations(console.page) == [], name


def test_an_unknown_page_is_the_dashboard(console: Any) -> None:
    console.open("nothing-of-the-kind")
    expect(console.page.locator("h1")).to_have_text("Dashboard")


def test_the_look_can_be_chosen_and_is_kept(console: Any) -> None:
    def background() -> str:
        return str(console.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    console.open()
    light = background()
    console.page.get_by_label("Look").select_option("dark")
    dark = background()
    assert dark != light
    console.open("people")
    assert background() == dark
    console.page.get_by_label("Look").select_option("auto")
    assert background() == light
    console.page.emulate_media(color_scheme="dark")
    assert background() == dark


def test_pages_do_not_jump_while_they_load(peopled: Any) -> None:
    """The browser's own measure of layout shifts, up to 0.1 of which is called good (web.dev, CLS)."""
    peopled.before(
        "window.shift = 0; new PerformanceObserver((list) => { for (const e of list.getEntries()) "
        "if (!e.hadRecentInput) window.shift += e.value; }).observe({type: 'layout-shift', buffered: true});"
    )
    for name in PAGES:
        peopled.open(name, **(PERSON if name == "person" else {}))
        peopled.page.wait_for_timeout(300)
        assert peopled.page.evaluate("window.shift") < 0.1, name


def _picture(console: Any, name: str, scheme: str, size: str) -> None:
    """Write the page's picture for the documentation, where pictures are asked for."""
    wanted = {("light", "wide"): PAGES, ("dark", "wide"): DARK, ("light", "phone"): SMALL}.get((scheme, size), ())
    if not SCREENSHOTS or name not in wanted:
        return
    suffix = {("light", "wide"): "", ("dark", "wide"): "-dark", ("light", "phone"): "-phone"}[(scheme, size)]
    console.page.mouse.move(0, 0)
    page = console.page
    page.evaluate("scrollTo(0, 0)")
    before = page.viewport_size
    page.set_viewport_size({**before, "height": max(before["height"], page.evaluate("document.body.scrollHeight"))})
    page.wait_for_timeout(100)
    shot = page.screenshot()
    page.set_viewport_size(before)
    image = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    for colors in (256, 128, 64, 32):
        encoded = _with_few_colors(image, colors)
        if len(encoded) <= LARGEST_BYTES:
            break
    assert len(encoded) <= LARGEST_BYTES
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / f"console-{name}{suffix}.png").write_bytes(encoded)


def _with_few_colors(image: np.ndarray[Any, Any], colors: int) -> bytes:
    """A PNG with a palette."""
    from PIL import Image

    picture = Image.fromarray(image[..., ::-1]).quantize(
        colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
