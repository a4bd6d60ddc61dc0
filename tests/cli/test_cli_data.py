"""``mien data``: packs made, looked at and written out again from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_running import run, small

from mien.images.samples import Samples


def image(path: Path, seed: int, side: int = 112) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for k in range(5):
        image(tmp_path / "people" / f"p{k % 2}" / f"{k}.png", k)
    return tmp_path / "people"


def test_packed_looked_at_and_unpacked(people: Path, tmp_path: Path) -> None:
    pack, out = tmp_path / "pack", tmp_path / "out"
    packed = run("data", "pack", people, "--aligned", "--out", pack, "--license", "MIT", "--note", "five", "--json")
    assert packed.code == 0, packed.err
    (told,) = packed.rows
    assert told["pack"] == str(pack)
    assert (told["images"], told["identities"], told["refused"], told["resumed"]) == (5, 2, {}, 0)
    assert told["images_per_second"] > 0
    (figures,) = run("data", "stats", pack, "--json").rows
    assert figures["images"] == 5
    assert figures["histogram"] == [[2, 2, 1], [3, 4, 1]]
    assert figures["licenses"] == {"MIT": 5}
    assert (figures["note"], figures["aligned"], figures["duplicates"]) == ("five", 112, 0)
    unpacked = run("data", "unpack", pack, "--out", out, "--json")
    assert unpacked.rows == [{"pack": str(pack), "out": str(out), "images": 5, "identities": 2}]
    for file in people.rglob("*.png"):
        assert (out / file.relative_to(people)).read_bytes() == file.read_bytes()


def test_for_people(people: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    assert "5 images of 2 people, 0 left out" in run("data", "pack", people, "--aligned", "--out", pack).out
    shown = run("data", "stats", pack / "index.parquet")
    assert shown.code == 0
    assert "2 to 3, median 2.5, mean 2.5" in shown.out
    assert "112×112 pixels" in shown.out
    assert "not measured" in shown.out
    assert "5 images of 2 people, and images.csv" in run("data", "unpack", pack, "--out", tmp_path / "out").out


def test_unreadable_images_are_named_and_counted(people: Path, tmp_path: Path) -> None:
    (people / "p0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    image(people / "p1" / "wide.png", 9, 100)
    (people / "p1" / "wide.png").write_bytes(cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes())
    packed = run("data", "pack", people, "--aligned", "--out", tmp_path / "pack", "--json")
    assert packed.code == 1
    assert packed.errors == ["bad_image", "bad_input"]
    assert [row.get("image") for row in packed.rows] == ["p0/broken.jpg", "p1/wide.png", None]
    assert packed.rows[1]["error"]["message"] == "expected an aligned image of 112×112 pixels, got 30×20"
    assert packed.rows[2]["images"] == 5
    assert packed.rows[2]["refused"] == {"bad_image": 1, "bad_input": 1}
    assert (tmp_path / "pack" / "failures.csv").read_text(encoding="utf-8").count("\n") == 3
    shown = run("data", "pack", people, "--aligned", "--out", tmp_path / "other")
    assert "2 left out (see " in shown.out
    assert "error: bad_image: p0/broken.jpg" in shown.err


def test_faces_are_found(samples: Samples, tmp_path: Path) -> None:
    small(samples.obama[0], tmp_path / "people" / "Barack" / "1.jpg")
    small(samples.biden, tmp_path / "people" / "Joe" / "1.jpg")
    image(tmp_path / "people" / "Joe" / "noise.png", 1)
    packed = run("data", "pack", tmp_path / "people", "--align", "--quality", "--out", tmp_path / "pack", "--json")
    assert packed.code == 1
    assert packed.rows[0]["image"] == "Joe/noise.png"
    assert packed.rows[0]["error"] == {"code": "no_face", "message": "expected a face, found none"}
    (figures,) = run("data", "stats", tmp_path / "pack", "--json").rows
    assert (figures["images"], figures["with_landmarks"], figures["aligned"]) == (2, 2, 112)
    assert figures["quality"][0] > 20
    assert 0.6 < figures["scores"][0] <= 1
    aligned = run("data", "align", tmp_path / "people", "--out", tmp_path / "chips", "--size", 96, "--json")
    assert aligned.code == 1
    assert aligned.rows[-1] == {"out": str(tmp_path / "chips"), "images": 2, "refused": 1, "resumed": 0}
    chip = cv2.imread(str(tmp_path / "chips" / "Barack" / "1.png"))
    assert chip is not None
    assert chip.shape == (96, 96, 3)


def test_overwriting(people: Path, tmp_path: Path) -> None:
    arguments = ("data", "pack", people, "--aligned", "--out", tmp_path / "pack", "--json")
    assert run(*arguments).code == 0
    again = run(*arguments)
    assert again.code == 1
    assert again.errors == ["output_error"]
    shutil.rmtree(people / "p1")
    assert run(*arguments, "--overwrite").rows[0]["identities"] == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--align", "--aligned"), "expected one of --align and --aligned"),
        (("--quality",), "expected --align or --aligned beside it"),
        (("--format", "gif"), "expected jpeg or png, got 'gif'"),
        (("--face", "first"), "expected central, largest or single, got 'first'"),
        (("--size", "3"), "16"),
    ],
)
def test_wrong_usage(people: Path, tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    ran = run("data", "pack", people, "--out", tmp_path / "pack", *more)
    assert ran.code == 2
    assert message in " ".join(ran.err.replace("│", " ").split())
    assert not (tmp_path / "pack").exists()


def test_packs_that_are_none(tmp_path: Path) -> None:
    for name in ("stats", "unpack"):
        more = ("--out", tmp_path / "out") if name == "unpack" else ()
        ran = run("data", name, tmp_path, *more, "--json")
        assert ran.code == 1
        assert ran.rows[0]["error"]["code"] == "bad_pack"
        assert "expected a pack with index.parquet or an index, found none" in ran.rows[0]["error"]["message"]
    ran = run("data", "pack", tmp_path / "gone", "--out", tmp_path / "out", "--json")
    assert (ran.code, ran.errors) == (1, ["bad_input"])


def test_a_damaged_image_is_named(people: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    run("data", "pack", people, "--aligned", "--out", pack)
    shard = pack / "shard-00000.tar"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 255
    shard.write_bytes(bytes(content))
    ran = run("data", "unpack", pack, "--out", tmp_path / "out", "--json")
    assert ran.code == 1
    assert ran.rows[0]["image"] == "p0/0.png"
    assert json.loads(ran.out.splitlines()[-1])["images"] == 4
