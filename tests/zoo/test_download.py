from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from model_server import ModelServer

from mien.errors import CacheError, HashMismatch, ModelNotFound
from mien.zoo.download import download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_with_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with ModelServer({"/m.onnx": CONTENT}) as server:
        download(
            server.url("/m.onnx"),
            tmp_path / "new" / "m.onnx",
            sha256=SHA256,
            size_bytes=len(CONTENT),
            progress=lambda done, total: seen.append((done, total)),
        )
    assert (tmp_path / "new" / "m.onnx").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["m.onnx"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_server_that_tells_no_length(tmp_path: Path) -> None:
    seen: list[int | None] = []
    with ModelServer({"/m": CONTENT}, lengths=False) as server:
        download(server.url("/m"), tmp_path / "m", sha256=SHA256, progress=lambda _, total: seen.append(total))
    assert set(seen) == {None}
    assert (tmp_path / "m").read_bytes() == CONTENT


@pytest.mark.parametrize("identity", ["etag", "date"])
def test_a_cut_connection_is_taken_up_where_it_ended(tmp_path: Path, identity: str) -> None:
    with ModelServer({"/m": CONTENT}, cuts=[1000, 500], identity=identity) as server:
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert server.requests == [("/m", None), ("/m", "bytes=1000-"), ("/m", "bytes=1500-")]
    assert (tmp_path / "m").read_bytes() == CONTENT


@pytest.mark.parametrize("identity", ["weak", "none"])
def test_without_an_identity_it_starts_anew(tmp_path: Path, identity: str) -> None:
    with ModelServer({"/m": CONTENT}, cuts=[1000], identity=identity) as server:
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert server.requests == [("/m", None), ("/m", None)]
    assert (tmp_path / "m").read_bytes() == CONTENT


def test_the_next_call_goes_on(tmp_path: Path) -> None:
    with ModelServer({"/m": CONTENT}, cuts=[1000, 0, 24]) as server:
        with pytest.raises(ModelNotFound, match=rf"ended after 1024 of {len(CONTENT)} bytes \(3 attempts\)"):
            download(server.url("/m"), tmp_path / "m", sha256=SHA256)
        assert names(tmp_path) == ["m.download", "m.download.json"]
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert server.requests[-1] == ("/m", "bytes=1024-")
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert names(tmp_path) == ["m"]


def test_a_file_that_changed_meanwhile_starts_anew(tmp_path: Path) -> None:
    with ModelServer({"/m": CONTENT[::-1]}, cuts=[1000, 0, 0]) as server:
        with pytest.raises(ModelNotFound):
            download(server.url("/m"), tmp_path / "m", sha256=SHA256)
        server.files["/m"] = CONTENT
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert (tmp_path / "m").read_bytes() == CONTENT


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 1}'])
def test_a_damaged_note_starts_anew(tmp_path: Path, note: bytes) -> None:
    (tmp_path / "m.download").write_bytes(b"rubbish")
    (tmp_path / "m.download.json").write_bytes(note)
    with ModelServer({"/m": CONTENT}) as server:
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert server.requests == [("/m", None)]
    assert names(tmp_path) == ["m"]


def test_a_partial_file_longer_than_the_servers_starts_anew(tmp_path: Path) -> None:
    with ModelServer({"/m": CONTENT}, cuts=[1000, 0, 0]) as server:
        with pytest.raises(ModelNotFound):
            download(server.url("/m"), tmp_path / "m", sha256=SHA256)
        (tmp_path / "m.download").write_bytes(CONTENT + b"more")
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert (tmp_path / "m").read_bytes() == CONTENT


def test_another_content_is_refused_and_not_kept(tmp_path: Path) -> None:
    with (
        ModelServer({"/m": CONTENT[:-1] + b"!"}) as server,
        pytest.raises(HashMismatch, match=f"expected sha256 {SHA256}"),
    ):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert names(tmp_path) == []


@pytest.mark.parametrize("lengths", [True, False])
def test_no_more_is_read_than_the_card_states(tmp_path: Path, lengths: bool) -> None:
    seen: list[int] = []
    with (
        ModelServer({"/m": CONTENT * 20}, lengths=lengths) as server,
        pytest.raises(HashMismatch, match=f"expected a file of .*{len(CONTENT)} bytes"),
    ):
        download(
            server.url("/m"),
            tmp_path / "m",
            sha256=SHA256,
            size_bytes=len(CONTENT),
            progress=lambda done, _: seen.append(done),
        )
    assert max(seen, default=0) <= len(CONTENT)
    assert names(tmp_path) == []


def test_a_shorter_file_is_refused_at_once(tmp_path: Path) -> None:
    with ModelServer({"/m": CONTENT}) as server, pytest.raises(HashMismatch, match="the server has one of"):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256, size_bytes=len(CONTENT) + 1)
    assert names(tmp_path) == []


def test_404(tmp_path: Path) -> None:
    with ModelServer() as server, pytest.raises(ModelNotFound, match="HTTP 404 Not Found"):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ModelNotFound, match="cannot be reached"):
            download(f"http://127.0.0.1:{port}/m", tmp_path / "m", sha256=SHA256)


def test_a_silent_server_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ModelNotFound, match=r"timed out|timeout"):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/m", tmp_path / "m", sha256=SHA256, timeout_s=0.05)


def test_redirections_on_this_machine(tmp_path: Path) -> None:
    with ModelServer({"/m": CONTENT}) as server:
        server.redirects["/old"] = server.url("/m")
        download(server.url("/old"), tmp_path / "m", sha256=SHA256)
    assert (tmp_path / "m").read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["http://example.org/m", "ftp://127.0.0.1/m", "http://127.0.0.1.example.org/m"])
def test_redirections_elsewhere_are_refused(tmp_path: Path, target: str) -> None:
    with (
        ModelServer(redirects={"/m": target}) as server,
        pytest.raises(ModelNotFound, match=f"refused a redirection to {target}"),
    ):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)


def test_redirections_without_end(tmp_path: Path) -> None:
    with ModelServer(redirects={"/m": "/m"}) as server, pytest.raises(ModelNotFound, match="HTTP 302"):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with ModelServer({"/m": CONTENT}) as server, pytest.raises(CacheError, match="cannot write"):
        download(server.url("/m"), tmp_path / "file" / "m", sha256=SHA256)
    assert server.requests == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.download").symlink_to("/dev/full")
    with ModelServer({"/m": CONTENT}) as server, pytest.raises(CacheError, match="No space left on device"):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert names(tmp_path) == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path / "tls" / "server.pem"
    path.parent.mkdir()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += f" -addext subjectAltName=DNS:localhost -keyout {path}.key -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_an_unknown_certificate_is_refused(tmp_path: Path, certificate: Path) -> None:
    with (
        ModelServer({"/m": CONTENT}, certificate=certificate) as server,
        pytest.raises(ModelNotFound, match="certificate verify failed"),
    ):
        download(server.url("/m"), tmp_path / "m", sha256=SHA256)
    assert server.requests == []


def test_https_never_leads_to_http(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with ModelServer({"/m": CONTENT}, certificate=certificate) as server, ModelServer({"/m": CONTENT}) as plain:
        server.redirects["/old"] = plain.url("/m")
        with pytest.raises(ModelNotFound, match="refused a redirection"):
            download(server.url("/old"), tmp_path / "m", sha256=SHA256)
        server.redirects["/old"] = server.url("/m")
        download(server.url("/old"), tmp_path / "m", sha256=SHA256)
    assert plain.requests == []
    assert (tmp_path / "m").read_bytes() == CONTENT
