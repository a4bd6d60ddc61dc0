"""``mien data merge`` and ``mien data clean``: from packs to a new index and its lists, and what is refused."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_running import Ran, run, small, start

pytest.importorskip("pyarrow")

from mien.images.samples import Samples
from mien.training.data import read_index, write_index
from mien.training.data.packing import pack_images
from mien.types import ImageArray
from mien.zoo import cache_dir

SIDE = 112


def blobs(seed: int) -> ImageArray:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def pack_of(folder: Path, people: dict[str, list[ImageArray]], **settings: int) -> Path:
    source = folder.with_name(f"{folder.name}-images")
    for name, images in people.items():
        (source / name).mkdir(parents=True)
        for number, image in enumerate(images):
            cv2.imwrite(str(source / name / f"{number}.png"), image)
    pack_images(source, folder, aligned=settings.get("aligned", SIDE))
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own that shares the models, so that no template stays behind."""
    own = tmp_path / "cache"
    own.mkdir()
    # Made once, where other tests look for it too.
    (cache_dir() / "converted").mkdir(parents=True, exist_ok=True)
    (own / "converted").symlink_to(cache_dir() / "converted")
    monkeypatch.setenv("MIEN_CACHE", str(own))
    return own


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Three pictures with each of two people, one of which is there twice."""
    first = [blobs(seed) for seed in (1, 2, 3)]
    twice = cv2.resize(first[0][3:, :-2], (SIDE, SIDE))
    return pack_of(
        tmp_path / "copied", {"a": [*first, np.asarray(twice, np.uint8)], "b": [blobs(k) for k in (5, 6, 7)]}
    )


def quiet(pack: Path, out: Path, *more: object) -> Ran:
    """Clean by nothing but duplicates: these pictures show nobody."""
    return run("data", "clean", pack, "--out", out, "--outlier", -1, "--other", 1, "--json", *more)


def test_cleaned(copied: Path, tmp_path: Path) -> None:
    shown = quiet(copied, tmp_path / "out")
    assert shown.code == 0, shown.err
    (told,) = shown.rows
    assert (told["images"], told["left"], told["identities"]) == (7, 6, 2)
    assert (told["changes"], told["lost"], told["written"]) == ({"near_duplicate": 1}, [], True)
    (change,) = rows_of(tmp_path / "out" / "changes.csv")
    assert {change["row"], change["compared_row"]} == {"0", "3"}
    assert (change["action"], change["identity"]) == ("removed", "a")
    assert float(change["correlation"]) >= 0.94
    assert len(read_index(tmp_path / "out")) == 6
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["changes.csv", "index.parquet"]
    assert quiet(copied, tmp_path / "kept", "--no-duplicates").rows[0]["changes"] == {}
    assert quiet(copied, tmp_path / "same", "--correlation", 1).rows[0]["changes"] == {}


def test_a_dry_run_writes_the_list_alone(copied: Path, tmp_path: Path) -> None:
    shown = run("data", "clean", copied, "--out", tmp_path / "out", "--outlier", -1, "--other", 1, "--dry-run")
    assert "6 of 7 images, 2 of 2 people" in shown.out
    assert "no index was written" in shown.out
    assert "near duplicate" in shown.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["changes.csv"]
    first = (tmp_path / "out" / "changes.csv").read_bytes()
    # After a dry run the folder is still free.
    assert quiet(copied, tmp_path / "out").code == 0
    assert (tmp_path / "out" / "changes.csv").read_bytes() == first


def test_an_image_that_cannot_be_read(copied: Path, tmp_path: Path) -> None:
    index = read_index(copied)
    with index.shards[0].open("r+b") as stream:
        stream.seek(int(index.numbers("offset")[5]))
        stream.write(bytes(64))
    shown = quiet(copied, tmp_path / "out")
    assert shown.code == 1
    failed, told = shown.rows
    assert (failed["image"], failed["row"], failed["error"]["code"]) == ("b/1.png", 5, "bad_pack")
    assert told["changes"] == {"near_duplicate": 1, "unreadable": 1}
    assert [row["name"] for row in rows_of(tmp_path / "out" / "changes.csv") if row["reason"] == "unreadable"] == [
        "b/1.png"
    ]


@pytest.fixture
def portraits(samples: Samples, tmp_path: Path) -> list[Path]:
    """Two packs with one person in both."""
    packs = []
    sets = {
        "a": {"Barack": samples.obama[0], "Joe": samples.biden},
        "b": {"44": samples.obama[1], "1": samples.astronaut},
    }
    for name, people in sets.items():
        for person, photo in people.items():
            small(photo, tmp_path / "photos" / name / person / "1.jpg")
        pack = tmp_path / name
        assert run("data", "pack", tmp_path / "photos" / name, "--align", "--out", pack).code == 0
        packs.append(pack)
    return packs


def test_merged(portraits: list[Path], tmp_path: Path) -> None:
    shown = run("data", "merge", *portraits, "--out", tmp_path / "out", "--json")
    assert shown.code == 0, shown.err
    (told,) = shown.rows
    assert (told["images"], told["identities"], told["same"], told["review"]) == (4, 3, 1, 0)
    assert told["threshold"] > told["uncertain"] > 0
    (pair,) = rows_of(tmp_path / "out" / "pairs.csv")
    assert (pair["identity_a"], pair["identity_b"], pair["decision"]) == ("Barack", "44", "same")
    assert (pair["image_a"], pair["image_b"], pair["mutual"]) == ("Barack/1.jpg", "44/1.jpg", "True")
    assert read_index(tmp_path / "out").identities == ["1", "Barack", "Joe"]
    (change,) = rows_of(tmp_path / "out" / "changes.csv")
    assert (change["pack"], change["identity"], change["new_identity"]) == (str(portraits[1]), "44", "Barack")
    assert rows_of(tmp_path / "out" / "review.csv") == []
    assert run("data", "stats", tmp_path / "out", "--json").rows[0]["identities"] == 3
    dropped = run("data", "merge", *portraits, "--out", tmp_path / "dropped", "--drop")
    assert "3 images of 3 people; 1 pairs of people are one, 0 are to be reviewed" in dropped.out


def test_reviewed_and_decided(portraits: list[Path], tmp_path: Path) -> None:
    arguments = ("data", "merge", *portraits, "--threshold", 0.99, "--json")
    review = tmp_path / "look.csv"
    first = run(*arguments, "--out", tmp_path / "out", "--review", review, "--dry-run")
    assert (first.rows[0]["same"], first.rows[0]["review"], first.rows[0]["written"]) == (0, 1, False)
    assert not (tmp_path / "out" / "index.parquet").exists()
    again = run(*arguments, "--out", tmp_path / "out", "--review", review)
    assert "there is a file already" in again.rows[0]["error"]["message"]
    text = review.read_text(encoding="utf-8")
    review.write_text(text.replace("\n,uncertain", "\nsame,uncertain"), encoding="utf-8")
    second = run(*arguments, "--out", tmp_path / "out", "--decided", review)
    assert (second.rows[0]["same"], second.rows[0]["review"], second.rows[0]["identities"]) == (1, 0, 3)
    review.write_text(text.replace("Barack,", "Nobody,"), encoding="utf-8")
    review.write_text(review.read_text().replace("\n,uncertain", "\nsame,uncertain"), encoding="utf-8")
    wrong = run(*arguments, "--out", tmp_path / "other", "--decided", review)
    assert wrong.errors == ["bad_input"]
    assert "got 'Nobody', who is not in it" in wrong.rows[0]["error"]["message"]
    assert not (tmp_path / "other").exists()


def message(*arguments: object) -> tuple[int, str, str]:
    shown = run("data", *arguments, "--json")
    (row,) = shown.rows
    return shown.code, row["error"]["code"], row["error"]["message"]


def test_what_is_refused(copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert message("clean", tmp_path / "none", "--out", out)[1:] == (
        "bad_pack",
        f"{tmp_path / 'none'}: expected a pack with index.parquet or an index, found none",
    )
    assert message("clean", copied, "--out", copied)[:2] == (1, "output_error")
    assert "found index.parquet, shard-00000.tar" in message("clean", copied, "--out", copied)[2]
    assert message("merge", copied, "--out", out)[2] == "expected at least 2 packs to merge, got 1"
    assert "which are the same" in message("merge", copied, copied / "index.parquet", "--out", out)[2]
    half = pack_of(tmp_path / "half", {"c": [blobs(9)[:56, :56]]}, aligned=56)
    assert "aligned to 112 pixels and" in message("merge", copied, half, "--out", out)[2]
    assert "expected images aligned to 112×112 pixels" in message("clean", half, "--out", out)[2]
    nobody = read_index(copied)
    write_index(nobody.with_columns(label=[-1] * len(nobody)), tmp_path / "nobody")
    assert "expected images with labels, found none" in message("merge", copied, tmp_path / "nobody", "--out", out)[2]
    assert "expected images with labels, found none" in message("clean", tmp_path / "nobody", "--out", out)[2]
    assert message("clean", copied, "--out", out, "--embedder", "nothing")[1] == "model_not_found"
    other = pack_of(tmp_path / "other", {"c": [blobs(9)]})
    told = message("merge", copied, other, "--out", out, "--threshold", 0.2, "--uncertain", 0.3)
    assert told[2] == "expected -1 <= uncertain <= threshold <= 1, got uncertain 0.3 and threshold 0.2"
    assert run("data", "clean", copied, "--out", out, "--flips", "perhaps").code == 2
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_keeps_the_templates(tmp_path: Path, cache: Path) -> None:
    pack = pack_of(tmp_path / "pack", {"a": [blobs(seed) for seed in range(400)]})
    arguments = ("data", "clean", pack, "--out", tmp_path / "out", "--no-duplicates", "--threads", 1)
    with start(*arguments, env={**os.environ, "MIEN_CACHE": str(cache)}) as running:
        until = time.monotonic() + 60
        while _kept(cache) == 0 and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopping after the images in hand" in told
    kept = _kept(cache)
    assert f"interrupted: {kept} images have templates, which are kept; the same command goes on from there" in told
    assert 0 < kept < 400
    assert not (tmp_path / "out").exists()


def _kept(cache: Path) -> int:
    for file in (cache / "described").glob("*.sqlite"):
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                return int(database.execute("SELECT count(*) FROM templates").fetchone()[0])
        except sqlite3.OperationalError:  # it is only being made
            return 0
    return 0
