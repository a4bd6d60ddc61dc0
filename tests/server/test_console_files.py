"""The console's files as the server sends them, and what no file of the console may hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import anyio
import httpx
from fastapi import FastAPI

import mien.server
from mien.server.headers import CONTENT_SECURITY_POLICY
from mien.server.routes import console

FOLDER = Path(mien.server.__file__).parent / "console"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
MOST_LINES = 400


def asked(method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """What the console's routes answer."""
    app = FastAPI()
    app.include_router(console.router)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            return await client.request(method, path, headers=headers)

    return anyio.run(ask)


def named(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


@pytest.fixture
def index() -> str:
    return (FOLDER / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_file_is_sent_as_what_it_is(path: Path) -> None:
    expected = {
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".svg": "image/svg+xml",
    }
    answer = asked("GET", f"/console/{named(path)}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == expected[path.suffix]
    assert answer.content == path.read_bytes()


def test_the_page_is_at_the_root() -> None:
    answer = asked("GET", "/")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / "index.html").read_bytes()


def test_head_sends_no_body() -> None:
    answer = asked("HEAD", "/")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    first = asked("GET", "/console/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = asked("GET", "/console/app.js", {"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert asked("GET", "/console/app.js", {"If-None-Match": '"other"'}).status_code == 200
    assert asked("GET", "/console/style.css").headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "none.js",
        "../settings.py",
        "%2e%2e/settings.py",
        "..%2fsettings.py",
        "/etc/passwd",
        "pages",
        "app.js/",
        "%00",
    ],
)
def test_nothing_else_is_sent(name: str) -> None:
    assert asked("GET", f"/console/{name}").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_files_cannot_be_written(method: str) -> None:
    assert asked(method, "/console/app.js").status_code == 405


def test_the_page_holds_no_script_and_no_style(index: str) -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", index) == []
    assert not re.search(r"<style|\sstyle=|\son\w+=", index)
    for directive in ("script-src 'self'", "style-src 'self'", "connect-src 'self'"):
        assert directive in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_scripts_make_no_markup_of_texts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
        "srcdoc",
    ):
        assert word not in text, f"{word} in {named(path)}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_nothing_is_named_that_lies_elsewhere(path: Path) -> None:
    addresses = re.findall(r"https?://[^\s\"'`)]+", path.read_text(encoding="utf-8"))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix in (".js", ".css")], ids=named)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_whatever_a_script_imports_is_there() -> None:
    for path in SCRIPTS:
        for name in re.findall(r'from "(\./[^"]+|\.\./[^"]+)"', path.read_text(encoding="utf-8")):
            assert (path.parent / name).resolve().is_file(), f"{named(path)} imports {name}"
