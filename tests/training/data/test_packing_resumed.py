"""Packs whose making was cut off: by a kill, Ctrl-C, a full disk or a crash at any image."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from pack_making import people_folder

from mien.errors import BadInput, BadPack, OutputError
from mien.training.data import ShardReader, read_index
from mien.training.data.folders import open_listing
from mien.training.data.journal import Journal
from mien.training.data.packing import pack, pack_images
from mien.training.data.preparing import PackSettings

SMALL = PackSettings(form="aligned", shard_bytes=60_000)


class Crash(Exception):
    """What a test stops the work with."""


def same_packs(one: Path, other: Path) -> None:
    """Both hold the same images in the same order, each once, in the index and in the tar files."""
    first, second = read_index(one), read_index(other)
    assert first.texts("name") == second.texts("name")
    assert first.digests == second.digests
    assert len(set(first.texts("name"))) == len(first)
    for index, folder in ((first, one), (second, other)):
        with ShardReader(index, verify=True) as reader:
            for row in range(len(index)):
                reader.read(row)
        members = []
        for shard in sorted(folder.glob("shard-*.tar")):
            with tarfile.open(shard) as archive:
                members += archive.getnames()
        assert members == [f"{k:08d}.jpg" for k in range(len(index))]
        assert sorted(path.name for path in folder.iterdir()) == [
            "index.parquet",
            *(f"shard-{k:05d}.tar" for k in range(len(list(folder.glob("shard-*.tar"))))),
        ]


def test_a_crash_at_any_image(tmp_path: Path) -> None:
    source = open_listing(people_folder(tmp_path / "src", [6, 7]))
    pack(source, tmp_path / "whole", SMALL)
    assert len(list((tmp_path / "whole").glob("*.tar"))) >= 3
    for last in range(13):
        out, seen = tmp_path / f"cut{last}", iter(range(13))

        def crash(last: int = last, seen: object = seen) -> bool:
            if next(seen) == last:  # type: ignore[call-overload]
                raise Crash
            return False

        with pytest.raises(Crash):
            pack(source, out, SMALL, stopped=crash)
        report = pack(source, out, SMALL)
        assert report.images == 13
        # What was in shards that were whole is not done again.
        assert report.resumed <= last + 1
        assert report.resumed >= last - 4
        same_packs(out, tmp_path / "whole")


def test_a_shard_that_was_whole_before_the_journal_told_of_it(tmp_path: Path) -> None:
    source = open_listing(people_folder(tmp_path / "src", [13]))
    pack(source, tmp_path / "whole", SMALL)
    report = pack(source, tmp_path / "cut", SMALL, stopped=iter([False, False, True]).__next__)
    assert (report.done, report.complete) == (3, False)
    part = tmp_path / "cut" / "shard-00000.tar.part"
    part.write_bytes(part.read_bytes() + b"more that was never told of")
    part.rename(tmp_path / "cut" / "shard-00000.tar")
    (tmp_path / "cut" / "shard-00001.tar.part").write_bytes(b"and a shard that was begun")
    assert pack(source, tmp_path / "cut", SMALL).resumed == 3
    same_packs(tmp_path / "cut", tmp_path / "whole")


def test_a_kill_between_the_index_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_listing(people_folder(tmp_path / "src", [5]))
    pack(source, tmp_path / "whole", SMALL)

    def crash(_journal: Journal) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "remove", crash)
        with pytest.raises(Crash):
            pack(source, tmp_path / "cut", SMALL)
    assert (tmp_path / "cut" / "index.parquet").exists()
    assert pack(source, tmp_path / "cut", SMALL).resumed == 5
    same_packs(tmp_path / "cut", tmp_path / "whole")


def test_a_journal_that_was_being_removed(tmp_path: Path) -> None:
    source = open_listing(people_folder(tmp_path / "src", [13]))
    pack(source, tmp_path / "pack", SMALL, stopped=iter([False] * 8 + [True]).__next__)
    journal = tmp_path / "pack" / ".packing"
    (journal / "facts.json").rename(tmp_path / "facts.json")
    with pytest.raises(OutputError, match="there is a pack already"):
        pack(source, tmp_path / "pack", SMALL)
    with Journal(tmp_path / "pack", {}) as anew:
        assert anew.place.next == 0


def test_a_journal_that_lacks_an_entry(tmp_path: Path) -> None:
    source = open_listing(people_folder(tmp_path / "src", [13]))
    pack(source, tmp_path / "pack", SMALL, stopped=iter([False] * 8 + [True]).__next__)
    (tmp_path / "pack" / ".packing" / "00000000.parquet").unlink()
    with pytest.raises(BadPack, match="expected entry 00000000, got 00000001: the journal is damaged"):
        pack(source, tmp_path / "pack", SMALL)


def test_failures_are_told_of_once(tmp_path: Path) -> None:
    source = people_folder(tmp_path / "src", [9])
    for k in (1, 5):
        (source / "person 0" / f"{k}.jpg").write_bytes(b"no image")
    listing = open_listing(source)
    assert not pack(listing, tmp_path / "pack", SMALL, stopped=iter([False, False, True]).__next__).complete
    report = pack(listing, tmp_path / "pack", SMALL)
    assert (report.images, report.resumed, report.done) == (7, 3, 9)
    assert [item.name for item in report.refused] == ["person 0/1.jpg", "person 0/5.jpg"]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    source = people_folder(tmp_path / "src", [9])
    listing = open_listing(source)
    pack(listing, tmp_path / "pack", SMALL, stopped=iter([False, True]).__next__)
    with pytest.raises(
        BadInput, match="in the making with other settings: license: was '', is 'MIT'; size: was 112, is"
    ):
        pack(listing, tmp_path / "pack", dataclasses.replace(SMALL, size=96, license="MIT"))
    (source / "person 0" / "new.jpg").write_bytes(b"one more")
    with pytest.raises(BadInput, match=r"images: was '9 images [0-9a-f]+', is '10 images [0-9a-f]+'"):
        pack(open_listing(source), tmp_path / "pack", SMALL)
    # How many work at it changes nothing.
    assert pack(listing, tmp_path / "pack", dataclasses.replace(SMALL, workers=2)).complete


def test_two_cannot_pack_into_one_folder(tmp_path: Path) -> None:
    listing = open_listing(people_folder(tmp_path / "src", [2]))
    with Journal(tmp_path / "pack", {}), pytest.raises(OutputError, match="pack: another process is packing there"):
        pack(listing, tmp_path / "pack", SMALL)


def command(source: Path, out: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mien", "data", "pack", str(source), "--out", str(out)),
        *("--aligned", "--shard-mb", "1", "--workers", "2", "--json", *more),
    ]


def begun(source: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command(source, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 14 MB of images, and their pack."""
    root = tmp_path_factory.mktemp("many")
    people_folder(root / "src", [100] * 8)
    pack_images(root / "src", root / "whole", aligned=112, shard_bytes=1_000_000)
    return root


def ended_when(running: subprocess.Popen[str], out: Path, entries: int, number: int) -> None:
    """Send a signal as soon as the journal has that many entries; fails if the command was done before."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert running.poll() is None, running.communicate()
        if len(list((out / ".packing").glob("*.parquet"))) >= entries:
            running.send_signal(number)
            running.wait(30)
            return
        time.sleep(0.002)
    pytest.fail("the journal did not grow")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_killed_in_the_middle_twice(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    for entries in (2, 4):
        with begun(many / "src", out) as run:
            ended_when(run, out, entries, signal.SIGKILL)
        assert run.returncode == -signal.SIGKILL
        assert not (out / "index.parquet").exists()
    done = subprocess.run(command(many / "src", out), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["images"] == 800
    assert 0 < told["resumed"] < 800
    same_packs(out, many / "whole")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_interrupted_in_the_middle(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with begun(many / "src", out) as run:
        ended_when(run, out, 2, signal.SIGINT)
        told = run.communicate()[1]
    assert run.returncode == 130, told
    assert "images are dealt with; the same command goes on from there" in told
    assert "Traceback" not in told
    assert subprocess.run(command(many / "src", out), capture_output=True, check=True).returncode == 0
    same_packs(out, many / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk(many: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails in the same way, at any byte."""
    out = tmp_path / "pack"
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000)); "
        "from mien.cli import main; sys.argv = ['mien', *sys.argv[1:]]; main()"
    )
    full = subprocess.run(
        [sys.executable, "-c", script, *command(many / "src", out)[3:]], capture_output=True, text=True, check=False
    )
    assert full.returncode == 1
    error = json.loads(full.stdout)["error"]
    assert error["code"] == "output_error"
    assert error["message"] == f"{out}/shard-00000.tar.part: cannot be written: {os.strerror(27)}"
    assert not (out / "index.parquet").exists()
    pack(open_listing(many / "src"), out, PackSettings(form="aligned", shard_bytes=1_000_000))
    same_packs(out, many / "whole")
