"""Folders of chips whose making was cut off: the same call goes on, and what is there and whole is kept."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from made_faces import CountingDetector, face_image, fake_recognizer, write
from mien.errors import BadInput, OutputError
from mien.images.samples import Samples
from mien.training.data.align_folders import AlignReport, align_folder
from mien.training.data.align_journal import AlignJournal
from mien.training.data.folders import open_listing
from mien.training.data.preparing import PackSettings

ALIGN = PackSettings(form="align", size=112, encoding="png")
PHOTOS = 9


class Crash(Exception):
    """What a test stops the work with."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of two people, one without a face, and two whose chips would have the same name."""
    for k in range(PHOTOS - 1):
        write(tmp_path / "src" / f"p{k % 2}" / f"{k}.png", face_image(k % 2, k, faces=0 if k == 3 else 1))
    (tmp_path / "src" / "p0" / "0.jpg").write_bytes((tmp_path / "src" / "p0" / "0.png").read_bytes())
    return tmp_path / "src"


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by name."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def aligned(photos: Path, out: Path, *, after: int | None = None) -> tuple[AlignReport, int]:
    """The report, and how many photos the detector saw; ``after`` so many, all stops."""
    detector, seen = CountingDetector(), itertools.count(1)
    stop = None if after is None else lambda: next(seen) == after
    recognizer = fake_recognizer(detector, batch=1)
    return align_folder(open_listing(photos), out, ALIGN, recognizer, stopped=stop), detector.seen


def test_stopped_after_any_photo(photos: Path, tmp_path: Path) -> None:
    whole, looked_at = aligned(photos, tmp_path / "whole")
    assert (whole.chips, whole.resumed, whole.complete, looked_at) == (8, 0, True, PHOTOS)
    for last in range(1, PHOTOS):
        out = tmp_path / f"cut{last}"
        first, _ = aligned(photos, out, after=last)
        assert not first.complete
        assert not (out / "images.csv").exists()
        report, looked_at = aligned(photos, out)
        assert (report.chips, report.resumed, report.complete) == (8, last, True)
        assert report.refused == whole.refused
        assert looked_at == PHOTOS - last
        assert files(out) == files(tmp_path / "whole")


def test_a_crash_in_the_midst_of_a_chip(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligned(photos, tmp_path / "whole")
    out, lines = tmp_path / "cut", tmp_path / "cut" / ".aligning" / "done.jsonl"
    aligned(photos, out, after=6)
    # A line that was cut off, and a chip that no line tells of.
    lines.write_bytes(lines.read_bytes()[:-20])
    report, looked_at = aligned(photos, out)
    assert (report.resumed, looked_at) == (5, PHOTOS - 5)
    assert files(out) == files(tmp_path / "whole")


def test_chips_that_are_gone_or_damaged_are_made_anew(photos: Path, tmp_path: Path) -> None:
    aligned(photos, tmp_path / "whole")
    for name in ("gone", "damaged"):
        out = tmp_path / name
        aligned(photos, out, after=7)
        chip = out / "p0" / "4.png"
        if name == "gone":
            chip.unlink()
        else:
            chip.write_bytes(chip.read_bytes()[:-1] + b"?")
        report, _ = aligned(photos, out)
        assert 0 < report.resumed < 7
        assert files(out) == files(tmp_path / "whole")


def test_a_crash_before_the_journal_is_removed(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligned(photos, tmp_path / "whole")

    def crash(_journal: AlignJournal) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(AlignJournal, "remove", crash)
        with pytest.raises(Crash):
            aligned(photos, tmp_path / "cut")
    report, looked_at = aligned(photos, tmp_path / "cut")
    assert (report.resumed, looked_at) == (PHOTOS, 0)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_other_settings_or_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    aligned(photos, tmp_path / "out", after=3)
    other = dataclasses.replace(ALIGN, size=96)
    with pytest.raises(BadInput, match="out: aligning was begun with other settings: size: was 112, is 96"):
        align_folder(open_listing(photos), tmp_path / "out", other, fake_recognizer())
    write(photos / "p0" / "new.png", face_image(0))
    with pytest.raises(BadInput, match=r"images: was '9 images [0-9a-f]+', is '10 images [0-9a-f]+'"):
        aligned(photos, tmp_path / "out")


def test_two_cannot_align_into_one_folder(photos: Path, tmp_path: Path) -> None:
    aligned(photos, tmp_path / "out", after=3)
    facts = json.loads((tmp_path / "out" / ".aligning" / "facts.json").read_text())
    with (
        AlignJournal(tmp_path / "out", facts),
        pytest.raises(OutputError, match="out: another process is aligning there"),
    ):
        aligned(photos, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "code"), [("SIGKILL", -9), ("SIGINT", 130)])
def test_ended_in_the_middle(samples: Samples, tmp_path: Path, number: str, code: int) -> None:
    image = cv2.imread(str(samples.obama[0]))
    assert image is not None
    (tmp_path / "src" / "ada").mkdir(parents=True)
    for k in range(40):
        scaled = cv2.resize(image, (300 + k, 380 + k), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(tmp_path / "src" / "ada" / f"{k:02d}.png"), scaled)

    def command(out: Path) -> list[str]:
        return [*(sys.executable, "-m", "mien", "data", "align", str(tmp_path / "src")), "--out", str(out), "--json"]

    subprocess.run(command(tmp_path / "whole"), capture_output=True, check=True)
    out = tmp_path / "cut"
    lines = out / ".aligning" / "done.jsonl"
    with subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        until = time.monotonic() + 60
        while not (lines.is_file() and len(lines.read_bytes().splitlines()) >= 3):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < until
            time.sleep(0.002)
        run.send_signal(signal.Signals[number])
        told = run.communicate(timeout=30)[1]
    assert run.returncode == code, told
    assert "Traceback" not in told
    assert not (out / "images.csv").exists()
    done = subprocess.run(command(out), capture_output=True, text=True, check=True)
    assert 0 < json.loads(done.stdout)["resumed"] < 40
    assert files(out) == files(tmp_path / "whole")
