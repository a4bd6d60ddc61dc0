"""Bodies of every wrong kind: refused with a problem that says why; never a 500, never a crash, nothing on the disk."""

from __future__ import annotations

import json
import random
import socket
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from face_cases import BLUE, PEOPLE, PNG, RED, drawn, fake_app, fake_recognizer, in_base64
from server_cases import AppClient, Running, running, settings_in

PATHS = ("/v1/detect", "/v1/quality", "/v1/embed", f"{PEOPLE}/identify", f"{PEOPLE}/enroll?identity=Ada")
LIMIT = 200_000
DISPOSITION = b"--x\r\nContent-Disposition: form-data"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """With small limits."""
    folder = tmp_path_factory.mktemp("bodies")
    with fake_app(folder, max_body_bytes=LIMIT, max_batch_bytes=3 * LIMIT, max_images=4) as started:
        yield started


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real server with small limits."""
    settings = settings_in(tmp_path_factory.mktemp("listening"), max_body_bytes=LIMIT, rate_per_minute=0)
    with running(settings, fake_recognizer()) as started:
        yield started


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refused(answer: Any, *statuses: int) -> str:
    """The problem's code, if it is one of those statuses and a whole problem document."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.content) < 5000
    return str(answer.json()["code"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"/etc/passwd",
        b"file:///etc/passwd",
        b"http://127.0.0.1:22/",
        bytes(5000),
        bomb(60_000, 60_000),
        bomb(2**31 - 1, 2**31 - 1),
        bomb(0, 0),
        bomb(4000, 4000),
        drawn(RED)[:60],
        drawn(RED)[:-20],
    ],
)
def test_what_is_no_image_is_refused(client: AppClient, path: str, body: bytes) -> None:
    assert refused(client.post(path, content=body, headers=PNG), 422) == "bad_image"


def test_damaged_images_are_refused_or_looked_at(client: AppClient, portraits: dict[str, bytes]) -> None:
    """Real files with bytes changed, cut and joined at random: an answer each, and the server lives."""
    lots = random.Random(7)
    sources = [drawn(RED), drawn(RED, BLUE), portraits["obama2"][:LIMIT]]
    seen = set()
    for _ in range(150):
        body = bytearray(lots.choice(sources))
        for _ in range(lots.randrange(1, 30)):
            body[lots.randrange(len(body))] = lots.randrange(256)
        cut = bytes(body[: lots.randrange(len(body))] if lots.random() < 0.3 else body)
        answer = client.post(lots.choice(PATHS), content=cut, headers=PNG)
        seen.add(answer.status_code)
        if answer.status_code != 200:
            refused(answer, 422)
    assert 422 in seen
    assert client.post("/v1/detect", content=drawn(RED), headers=PNG).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html", "application/xml", "video/mp4", "application/x-www-form-urlencoded", "", "x"]
)
def test_bodies_of_other_types_are_refused(client: AppClient, kind: str) -> None:
    for path in PATHS:
        answer = client.post(path, content=drawn(RED), headers={"Content-Type": kind})
        assert refused(answer, 415) == "unsupported_media_type"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"image"',
        b"\xff\xfe{}",
        b'{"image": null}',
        b'{"image": ""}',
        b'{"image": 7}',
        b'{"image": ["AAAA"]}',
        b'{"image": {"a": 1}}',
        b'{"image": "AAAA", "path": "/etc/passwd"}',
        b'{"image": "AAAA", "url": "http://127.0.0.1"}',
        b'{"image": "\\ud800"}',
        b'{"image": "AAAA"} {}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"image": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"image": "AAAA", "largest": 1e999}',
    ],
)
def test_wrong_json_is_refused(client: AppClient, body: bytes) -> None:
    answer = client.post("/v1/detect", content=body, headers={"Content-Type": "application/json"})
    assert refused(answer, 400, 422) == "bad_input"
    for path in ("/v1/verify", "/v1/compare", f"{PEOPLE}/search", f"{PEOPLE}/enroll", "/v1/galleries"):
        refused(client.post(path, content=body, headers={"Content-Type": "application/json"}), 400, 413, 422)


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "A",
        "AAAA=",
        "not base64!",
        "/etc/passwd.jpg",
        "http://127.0.0.1/x.png",
        "file:///etc/passwd",
        "data:image/png,abc",
        "data:;base64",
        "data:image/png;base64,???",
        "😀",
        "QUJD\u202e",
        in_base64(b"text"),
        "A" * 1000,
    ],
)
def test_wrong_base64_is_refused(client: AppClient, text: str) -> None:
    assert refused(client.post("/v1/detect", json={"image": text}), 422) == "bad_image"
    assert refused(client.post(f"{PEOPLE}/enroll", json={"identity": "Ada", "images": [text]}), 422) == "bad_image"
    side = {"image": text}
    assert refused(client.post("/v1/verify", json={"a": side, "b": side}), 422) == "bad_image"


def test_large_bodies_are_refused(client: AppClient) -> None:
    large = bytes(LIMIT + 100_000)
    assert refused(client.post("/v1/detect", content=large, headers=PNG), 413) == "too_large"
    assert refused(client.post("/v1/detect", files={"image": large}), 413) == "too_large"
    assert refused(client.post("/v1/detect", json={"image": in_base64(large)}), 413) == "too_large"
    # One of several is too large, though all of them together are not.
    files = [("images", drawn(RED)), ("images", large)]
    assert refused(client.post(f"{PEOPLE}/enroll?identity=Ada", files=files), 413) == "too_large"
    many = [("images", drawn(RED))] * 5
    assert refused(client.post(f"{PEOPLE}/enroll?identity=Ada", files=many), 413) == "too_large"
    listed = {"identity": "Ada", "images": [in_base64(drawn(RED))] * 5}
    assert refused(client.post(f"{PEOPLE}/enroll", json=listed), 413) == "too_large"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b"--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--y\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n',
        ),
        ("multipart/form-data; boundary=x", DISPOSITION + b"\r\n\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\nabc\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x; charset=utf-7",
            b'--x\r\nContent-Disposition: form-data; name="+AGE-"\r\n\r\n',
        ),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x\r\n"),
    ],
)
def test_wrong_forms_are_refused(client: AppClient, kind: str, body: bytes) -> None:
    for path in ("/v1/detect", "/v1/verify", f"{PEOPLE}/enroll?identity=Ada"):
        refused(client.post(path, content=body, headers={"Content-Type": kind}), 400, 413, 415, 422)


def test_forms_of_other_fields_are_refused(client: AppClient) -> None:
    image = drawn(RED)
    for files in ({"photo": image}, {"image": image, "path": image}, {"image": (None, "/etc/passwd")}):
        assert refused(client.post("/v1/detect", files=files), 413, 422) in ("bad_input", "too_large")


def test_file_names_come_back_as_they_are(client: AppClient) -> None:
    names = ["../../etc/passwd", "\u202egnp.exe", "<img src=x onerror=alert(1)>", "a" * 3000, "😀.png"]
    for name in names:
        found = client.post("/v1/detect", files={"image": (name, drawn(RED))})
        assert found.json()["image"] == name[:1000]
        assert found.headers["Content-Type"] == "application/json"


def test_no_part_of_a_body_is_written_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portraits: dict[str, bytes]
) -> None:
    """Images of megabytes in a form: the parser would put them in a temporary file, whose making fails here."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", forbidden)
    padded = portraits["obama"] + bytes(4_000_000)
    with fake_app(tmp_path) as client:
        answer = client.post("/v1/detect", files={"image": ("a.jpg", padded)})
    assert answer.status_code in (200, 422)


def exchange(server: Running, head: str, body: bytes = b"", *, half: bool = False) -> bytes:
    """What the server answers to raw bytes."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        if half:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while b"\r\n\r\n" not in found:
            part = connection.recv(65_536)
            if not part:
                break
            found += part
        return found


HEAD = "POST /v1/detect HTTP/1.1\nHost: 127.0.0.1\nContent-Type: image/png\n"


def test_a_gigabyte_that_is_announced_is_not_waited_for(listening: Running) -> None:
    assert b" 413 " in exchange(listening, HEAD + "Content-Length: 1000000000").split(b"\r\n")[0]
    assert b" 400 " in exchange(listening, HEAD + f"Content-Length: {10**30}").split(b"\r\n")[0]


def test_what_is_sent_counts_and_not_what_is_said(listening: Running) -> None:
    """A chunked body has no length: it is refused as soon as it is past the limit, long before its end."""
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
    answer = exchange(listening, HEAD + "Transfer-Encoding: chunked", piece * 6)
    assert b" 413 " in answer.split(b"\r\n")[0]


def test_a_body_that_breaks_off_harms_nobody(listening: Running) -> None:
    exchange(listening, HEAD + "Content-Length: 5000", drawn(RED)[:100], half=True)
    exchange(listening, HEAD + "Content-Length: -5")
    exchange(listening, HEAD + "Transfer-Encoding: chunked", b"zz\r\n", half=True)
    with listening.client() as client:
        assert client.post("/v1/detect", content=drawn(RED), headers=PNG).status_code == 200
        assert json.loads(client.get("/v1/version").content)["space"] == "fake@00000000"
