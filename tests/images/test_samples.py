"""Sample photographs: whole, kept, mended, and refused when they are not what they should be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import cv2
import pytest

from mien.errors import CacheError, HashMismatch, SampleNotFound
from mien.images.samples import Samples, fetch


@pytest.fixture
def folder(samples: Samples, tmp_path: Path) -> Path:
    """A copy of the sample photographs that a test may harm."""
    return Path(shutil.copytree(samples.group.parent, tmp_path / "samples"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No index for pip but the returned folder, which is empty."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


def test_has_the_photographs(samples: Samples, sample_photos: list[Path]) -> None:
    assert sample_photos == list(samples.paths)
    assert len(set(sample_photos)) == 8
    shapes = {path.name: getattr(cv2.imread(str(path)), "shape", None) for path in sample_photos}
    assert shapes == {
        "obama.jpg": (1137, 910, 3),
        "obama2.jpg": (1200, 626, 3),
        "obama3.jpg": (2333, 1434, 3),
        "obama_partial_face.jpg": (1137, 491, 3),
        "obama_partial_face2.jpg": (1137, 551, 3),
        "biden.jpg": (2204, 970, 3),
        "astronaut.png": (512, 512, 3),
        "group.jpg": (886, 1280, 3),
    }


@pytest.mark.usefixtures("offline")
def test_a_second_call_needs_no_network(folder: Path) -> None:
    heard: list[tuple[int, int]] = []
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = fetch(folder, progress=lambda done, total: heard.append((done, total)))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert all(path.parent == folder for path in found.paths)
    assert heard == [(6, 8), (7, 8), (8, 8)]


def test_fetches_again_what_is_damaged_or_gone(
    folder: Path, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "group.jpg").write_bytes(samples.group.read_bytes()[:1000])
    (folder / "biden.jpg").unlink()
    kept = (folder / "obama.jpg").stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    fetch(Path(folder.name))
    assert (folder / "group.jpg").read_bytes() == samples.group.read_bytes()
    assert (folder / "biden.jpg").read_bytes() == samples.biden.read_bytes()
    assert (folder / "obama.jpg").stat().st_mtime_ns == kept
    assert len(list(folder.iterdir())) == 8


def test_two_processes_at_once(folder: Path, samples: Samples) -> None:
    (folder / "group.jpg").unlink()
    code = "import sys, pathlib; from mien.images.samples import fetch; fetch(pathlib.Path(sys.argv[1]))"
    both = [subprocess.Popen([sys.executable, "-c", code, str(folder)]) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert (folder / "group.jpg").read_bytes() == samples.group.read_bytes()
    assert len(list(folder.iterdir())) == 8


@pytest.mark.usefixtures("offline")
def test_says_what_pip_said(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(SampleNotFound, match=r"face-recognition==1\.3\.0: ERROR: No matching distribution") as caught:
        fetch(folder)
    assert caught.value.code == "sample_not_found"
    assert list(folder.iterdir()) == []


def test_says_that_pip_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=sys.platform != "win32")
    script = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / script))
    with pytest.raises(SampleNotFound, match="No module named pip"):
        fetch(tmp_path / "new")


def test_refuses_another_archive_of_that_name(folder: Path, offline: Path) -> None:
    (folder / "group.jpg").unlink()
    with zipfile.ZipFile(offline / "insightface-2.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("insightface/data/images/t1.jpg", b"something else")
        wheel.writestr("insightface-2.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: insightface\nVersion: 2.1\n")
        wheel.writestr("insightface-2.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("insightface-2.1.dist-info/RECORD", "")
    with pytest.raises(HashMismatch, match=r"insightface-2\.1-py3-none-any\.whl: expected sha256 dcd58ee7"):
        fetch(folder)
    assert not (folder / "group.jpg").exists()


def test_refuses_a_folder_that_is_a_file(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(CacheError, match="cannot keep sample photographs"):
        fetch(blocked)
