from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mien.errors import CacheError, HashMismatch
from mien.zoo.cache import cache_dir, locked, replacing, require_sha256, sha256_of, write_text, writing


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_folder_is_read_from_the_environment_at_each_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "one"))
    assert cache_dir() == tmp_path / "one"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", "two")
    assert cache_dir() == tmp_path / "two"
    monkeypatch.setenv("MIEN_CACHE", "~/three")
    assert cache_dir() == Path.home() / "three"
    monkeypatch.setenv("MIEN_CACHE", "")
    assert cache_dir().is_absolute()
    assert "mien" in cache_dir().parts
    monkeypatch.delenv("MIEN_CACHE")
    assert "mien" in cache_dir().parts
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_sha256(tmp_path: Path, length: int) -> None:
    content = bytes(range(251)) * (length // 251 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:length])
    expected = hashlib.sha256(content[:length]).hexdigest()
    assert sha256_of(path) == expected
    require_sha256(path, expected)
    with pytest.raises(HashMismatch, match=f"expected sha256 {'0' * 64}, got {expected}"):
        require_sha256(path, "0" * 64)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("converter"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("hal")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.with_name(".part-file.txt").write_text("left behind, and longer")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_folder_should_be(tmp_path: Path, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(CacheError, match=str(cache)):
        write_text(cache / "models" / "x", "text")
    with pytest.raises(CacheError, match="MIEN_CACHE"), locked("x"):
        pytest.fail("the lock cannot be held")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(CacheError, match=r"cannot write /dev/full: No space left"), writing(Path("/dev/full")):
        Path("/dev/full").write_text("x")


def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(CacheError, match="Permission denied"):
        write_text(folder / "x", "text")


def test_threads_take_turns() -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with locked("turns"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_other_locks_do_not_wait() -> None:
    with locked("one", timeout_s=0), locked("two", timeout_s=0):
        pass


def test_a_lock_that_stays_taken_is_named(cache: Path) -> None:
    code = "import sys; from mien.zoo.cache import locked\n"
    code += "with locked('held'):\n print('held', flush=True)\n sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CacheError, match=r"held\.lock for more than 0.05 s"), locked("held", timeout_s=0.05):
            pytest.fail("two held one lock")
        holder.kill()
    with locked("held", timeout_s=5):
        assert (cache / "locks" / "held.lock").exists()


def test_an_error_inside_frees_the_lock() -> None:
    with pytest.raises(ValueError, match="inside"), locked("x"):
        raise ValueError("inside")
    with locked("x", timeout_s=0):
        pass
