"""A real server and a real browser, watched: what a page must never do fails the test that made it do so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import cv2
import numpy as np
import pytest

import mien
from mien.images import load
from mien.images.samples import Samples

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

# Taken out of the environment: settings refuse MIEN_ variables that they do not know.
CHROMIUM = Path(os.environ.pop("MIEN_CHROMIUM", "/usr/bin/chromium"))
_PATIENCE_MS = 15_000
# A camera that shows a face in the dark first, then the same in good light; the browser plays 30 frames a second.
_DARK_FRAMES, _LIGHT_FRAMES = 120, 150
_DARKNESS = 0.11
_WIDE = {"width": 1200, "height": 860}

expect.set_options(timeout=_PATIENCE_MS)


@dataclass
class Console:
    """A console in a page of its own.

    Attributes:
        page: the browser's page.
        url: where the server is.
        allowed: parts of messages in the browser's console that the test expects.
    """

    page: Page
    url: str
    allowed: list[str] = field(default_factory=list)

    def open(self, page: str = "dashboard", /, **query: str) -> None:
        """Open one of the pages anew, and wait until it is there."""
        asked = "&".join(f"{key}={quote(value)}" for key, value in query.items())
        # From elsewhere: a change of the hash alone would not load the scripts anew.
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#/{page}{'?' + asked if asked else ''}")
        self.settled()

    def before(self, script: str) -> None:
        """Run a script in every page of the server before its own."""
        self.page.add_init_script(f"if (location.protocol !== 'about:') {{ {script} }}")

    def settled(self) -> None:
        """Wait until nothing of the page is still to come."""
        expect(self.page.locator("main h1")).to_be_visible()
        expect(self.page.locator("main .page > *").first).to_be_visible()
        expect(self.page.locator("main .loading")).to_have_count(0)

    def choose(self, *photos: Path, nth: int = 0) -> None:
        """Give photos to a field for files."""
        self.page.locator("[data-role=files]").nth(nth).set_input_files([str(photo) for photo in photos])

    def told(self, text: str) -> None:
        """Wait for a notice that holds a text."""
        expect(self.page.locator("#notices")).to_contain_text(text)

    def button(self, name: str) -> Any:
        """The button of that very name."""
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def dialog(self) -> Any:
        """The dialog that is open."""
        return self.page.locator("dialog[open]")


@pytest.fixture(scope="module")
def camera_film(samples: Samples, real: mien.Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Motion JPEG film for the browser's camera, made from a portrait."""
    image = load(samples.obama[0])
    ((left, top, right, bottom),) = real.detect(samples.obama[0]).xyxy.tolist()
    height = min(int((bottom - top) * 2.4), image.shape[0])
    width = min(int(height * 4 / 3), image.shape[1])
    x = int(np.clip((left + right - width) / 2, 0, image.shape[1] - width))
    y = int(np.clip((top + bottom - height) / 2, 0, image.shape[0] - height))
    light = cv2.resize(image[y : y + height, x : x + width, ::-1], (640, 480), interpolation=cv2.INTER_AREA)
    dark = (light * _DARKNESS).astype(np.uint8)
    frames = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in (dark, light)]
    path = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    path.write_bytes(frames[0] * _DARK_FRAMES + frames[1] * _LIGHT_FRAMES)
    return path


@pytest.fixture(scope="module")
def browser(camera_film: Path) -> Iterator[Browser]:
    """Chromium with a camera that plays the film."""
    if not CHROMIUM.is_file():
        pytest.skip(f"needs Chromium: no file {CHROMIUM} (set MIEN_CHROMIUM)")
    options = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera_film}",
    ]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Console]]:
    """Opens a console on a server; whatever a page must not do is an error at the end of the test.

    It must ask nothing of anyone but its server, break no rule of the content security policy, write no error or
    warning to the browser's console, and throw nothing.
    """
    faults: list[str] = []
    consoles: list[Console] = []

    def open_console(url: str, **options: Any) -> Console:
        context = browser.new_context(**{"viewport": _WIDE, "reduced_motion": "reduce", **options})
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        own = urlsplit(url).netloc

        def asked(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme not in ("blob", "data", "about") and address.netloc != own:
                faults.append(f"a request to elsewhere: {request.url}")

        def written(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                faults.append(message.text)

        page.on("request", asked)
        page.on("console", written)
        page.on("pageerror", lambda error: faults.append(f"an error in the page: {error}"))
        console = Console(page, url)
        consoles.append(console)
        return console

    yield open_console
    for console in consoles:
        console.page.context.close()
    allowed = [text for console in consoles for text in console.allowed]
    assert [fault for fault in faults if not any(text in fault for text in allowed)] == []


@pytest.fixture
def console(server: Any, opened: Callable[..., Console]) -> Console:
    """A console on a server that needs no keys and whose galleries are empty."""
    return opened(server.url)


@pytest.fixture
def peopled(server: Any, console: Console, samples: Samples) -> Console:
    """The same with two people enrolled, one by two photos, in a gallery that keeps pictures."""
    with server.client() as client:
        client.post("/v1/galleries", json={"name": "team", "portraits": True}).raise_for_status()
        for name, path in (
            ("Barack Obama", samples.obama[0]),
            ("Barack Obama", samples.obama[1]),
            ("Joe Biden", samples.biden),
        ):
            asked = {"identity": name, "tags": ["politics"]}
            answer = client.post(
                "/v1/galleries/team/enroll",
                params=asked,
                content=path.read_bytes(),
                headers={"Content-Type": "image/jpeg"},
            )
            answer.raise_for_status()
    return console
