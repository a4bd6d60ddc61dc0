"""``mien serve`` as people run it: a process that is started, used and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import self_signed

import mien

STARTED_S = 120.0
STOPPED_S = 60.0
IMAGE = {"Content-Type": "application/octet-stream"}


class Process:
    """A running ``mien serve``; ``said`` is what it announced, ``log()`` what it wrote on standard error."""

    def __init__(self, folder: Path, *options: str) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_SERVER")}
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mien", "serve", "--port", "0", "--json", *options],
                cwd=folder,
                env={**variables, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        self.said: dict[str, Any] = json.loads(line)

    @property
    def url(self) -> str:
        return str(self.said["url"])

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOPPED_S)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Process]:
    started = Process(folder, *options)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.communicate(timeout=STOPPED_S)


def keys(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mien", "keys", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def refused(folder: Path, *options: str) -> str:
    """What ``mien serve`` says when it does not start, with the exit code of wrong usage."""
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done
    return done.stderr


def test_started_used_and_stopped(tmp_path: Path, portraits: dict[str, bytes]) -> None:
    with serving(tmp_path) as server:
        assert server.said["keys_needed"] is False
        assert server.said["loopback"] is True
        assert "mien-server/people.db" in server.said["gallery"]
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            assert client.get("/readyz").status_code == 200
            enrolled = client.post(
                "/v1/galleries/default/enroll",
                params={"identity": "Ada Lovelace"},
                content=portraits["obama2"],
                headers=IMAGE,
            )
            assert enrolled.status_code == 200, enrolled.text
            found = client.post("/v1/galleries/default/identify", content=portraits["obama"], headers=IMAGE).json()
            assert found["faces"][0]["candidates"][0]["identity"] == "Ada Lovelace"
            assert "<html" in client.get("/").text
        assert server.stop() == 0
        log = server.log()
    assert "POST /v1/galleries/default/enroll 200" in log
    assert "Ada" not in log
    assert "Traceback" not in log
    for path in (tmp_path / "mien-server").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, f"others may read {path}"


def test_what_was_begun_is_finished(tmp_path: Path, portraits: dict[str, bytes]) -> None:
    """SIGTERM while requests are under way: each of them is answered, and new connections are not."""
    answers: list[int] = []
    failures: list[Exception] = []

    def send(url: str) -> None:
        try:
            answers.append(
                httpx.post(f"{url}/v1/embed", content=portraits["group"], headers=IMAGE, timeout=60).status_code
            )
        except httpx.HTTPError as error:
            failures.append(error)

    with serving(tmp_path) as server:
        address = (httpx.URL(server.url).host, httpx.URL(server.url).port or 0)
        httpx.get(f"{server.url}/livez")
        threads = [threading.Thread(target=send, args=(server.url,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while not answers:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        before = len(answers)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
        assert failures == []
        assert answers == [200] * 12
        assert before < 12, "all were answered before the signal: nothing was tested"
        with pytest.raises(ConnectionRefusedError), socket.create_connection(address, timeout=5):
            pass


def test_ctrl_c_stops_it_too(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.log()


def test_other_machines_need_keys(tmp_path: Path) -> None:
    told = refused(tmp_path, "--host", "0.0.0.0")
    assert "mien keys create" in told
    assert "bad_settings" in told
    told = refused(tmp_path, "--host", "0.0.0.0", "--no-require-keys")
    assert "require_keys" in told
    # A key that has ended is none.
    made = json.loads(keys(tmp_path, "create", "old", "--scope", "read", "--json").stdout)
    assert keys(tmp_path, "revoke", made["id"], "--yes").returncode == 0
    assert "mien keys create" in refused(tmp_path, "--host", "0.0.0.0")
    secret = json.loads(keys(tmp_path, "create", "new", "--scope", "read", "--json").stdout)["secret"]
    with serving(tmp_path, "--host", "0.0.0.0") as server:
        assert server.said["keys_needed"] is True
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/whoami", trust_env=False).status_code == 401
        headers = {"Authorization": f"Bearer {secret}", "Host": "faces.example.org"}
        assert httpx.get(f"{url}/v1/whoami", headers=headers, trust_env=False).json()["name"] == "new"
        assert server.stop() == 0
        assert secret not in server.log()


def test_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with serving(tmp_path, "--tls-certificate", str(certificate), "--tls-key", str(key)) as server:
        assert server.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=server.url, verify=trusting, trust_env=False) as client:
            assert client.get("/v1/whoami").status_code == 200
            own = {"Origin": server.url}
            assert client.post("/v1/galleries", json={"name": "a"}, headers=own).status_code == 201
            plain = {"Origin": server.url.replace("https", "http")}
            assert client.post("/v1/galleries", json={"name": "b"}, headers=plain).status_code == 403
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.url}/livez", trust_env=False)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url.replace('https', 'http')}/livez", trust_env=False)
        with trusting.wrap_socket(connected(server.url), server_hostname="localhost") as line:
            assert line.version() in ("TLSv1.2", "TLSv1.3")
        assert server.stop() == 0


def connected(url: str) -> socket.socket:
    return socket.create_connection((httpx.URL(url).host, httpx.URL(url).port or 0), timeout=10)


def test_tls_files_of_no_use(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, password=b"secret")
    told = refused(tmp_path, "--tls-certificate", str(certificate), "--tls-key", str(key))
    assert "without a password" in told
    assert "both or neither" in refused(tmp_path, "--tls-key", str(key))
    assert "expected a PEM file" in refused(tmp_path, "--tls-certificate", "missing.pem", "--tls-key", str(key))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in refused(tmp_path, "--port", str(port))
    assert keys(tmp_path, "create", "a", "--scope", "read").returncode == 0
    assert "cannot listen on 192.0.2.7" in refused(tmp_path, "--host", "192.0.2.7")


def test_several_workers(tmp_path: Path, portraits: dict[str, bytes]) -> None:
    """They share the galleries and the keys, and none of them is behind for long."""
    secret = json.loads(keys(tmp_path, "create", "all", "--scope", "admin", "--json").stdout)["secret"]
    headers = {"X-API-Key": secret}
    with serving(tmp_path, "--workers", "2", "--require-keys", "--rate", "0") as server:
        assert server.said["workers"] == 2
        with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
            enroll = client.post(
                "/v1/galleries/default/enroll",
                params={"identity": "B. Obama"},
                content=portraits["obama2"],
                headers=IMAGE,
            )
            assert enroll.status_code == 200, enroll.text
        for _ in range(8):  # a new connection each, to whichever worker takes it
            found = httpx.post(
                f"{server.url}/v1/galleries/default/identify",
                content=portraits["obama"],
                headers={**headers, **IMAGE},
                timeout=60,
                trust_env=False,
            )
            assert found.json()["faces"][0]["candidates"][0]["identity"] == "B. Obama"
        key_id = secret.split("_")[1]
        assert keys(tmp_path, "revoke", key_id, "--yes").returncode == 0
        time.sleep(5)
        statuses = [
            httpx.get(f"{server.url}/v1/whoami", headers=headers, trust_env=False).status_code for _ in range(8)
        ]
        assert statuses == [401] * 8
        assert server.stop() == 0
        assert "Traceback" not in server.log()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers")
def test_workers_do_not_outlive_the_first_process(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2", "--no-console") as server:
        pid = server.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        assert len(children) >= 2
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + STOPPED_S
        while any(running(child) for child in children):
            assert time.monotonic() < deadline, "a worker still runs"
            time.sleep(0.1)


def running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_models_that_are_missing_end_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--embedder", "no-such-model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "model_not_found" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("gallery", "told"),
    [("sqlite:///file/below/people.db", "the galleries' folder cannot be made"), ("sqlite:///file", "a mien gallery")],
)
def test_a_place_of_no_use_ends_the_start(tmp_path: Path, gallery: str, told: str) -> None:
    (tmp_path / "file").write_bytes(b"something else" * 100)
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--gallery", gallery]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_package_needs_no_extra_to_be_imported() -> None:
    code = "import sys; sys.modules['fastapi'] = sys.modules['uvicorn'] = None; import mien.server; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "fine", done.stderr
    assert mien.__version__
