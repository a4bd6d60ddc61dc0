"""``mien data preview``: a sheet of what augmentation does, and what it is told when that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cli_running import run
from PIL import Image

pytest.importorskip("pyarrow")

import cv2

from mien.training.augmentation import OPERATIONS
from mien.training.data import read_index
from mien.training.data.packing import pack_images


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("preview")
    for person in range(3):
        (root / "photos" / f"person {person}").mkdir(parents=True)
        for number in range(2):
            image = np.random.default_rng(10 * person + number).integers(60, 200, (112, 112, 3), np.uint8)
            smooth = cv2.GaussianBlur(image, (0, 0), 6)
            cv2.imwrite(str(root / "photos" / f"person {person}" / f"{number}.png"), smooth)
    pack_images(root / "photos", root / "pack", aligned=112)
    return root / "pack"


def test_a_sheet(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    shown = run("data", "preview", pack, "--out", out, "--images", 4, "--together", 1, "--json")
    assert shown.code == 0, shown.err
    (row,) = shown.rows
    assert row["columns"] == ["original", *OPERATIONS, "all"]
    assert len(set(row["rows"])) == 4
    with Image.open(out) as sheet:
        assert sheet.size == (4 + 116 * (len(OPERATIONS) + 2), 34 + 4 * 116)
        pixels = np.asarray(sheet)
    stored = pixels[34 : 34 + 112, 4 : 4 + 112]
    masked = pixels[34 : 34 + 112, 120 : 120 + 112]
    lower, upper = slice(80, 112), slice(0, 30)
    assert np.abs(stored[lower].astype(int) - masked[lower]).mean() > 10
    assert np.abs(stored[upper].astype(int) - masked[upper]).mean() < 1
    assert not list(tmp_path.glob(".part-*"))


def test_the_same_seed_draws_the_same(pack: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("data", "preview", pack, "--out", tmp_path / f"{name}.png", "--seed", seed, "--images", 2)
    first, second, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_some_operations_of_a_preset(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    shown = run("data", "preview", pack, "--out", out, "--preset", "light", "--together", 0, "--json")
    assert "mask" not in shown.rows[0]["columns"]
    shown = run(
        *("data", "preview", pack, "--out", out, "--preset", "none", "--overwrite", "--json", "--images", 1),
        *("--operation", "mask", "--operation", "jpeg"),
    )
    assert shown.rows[0]["columns"] == ["original", "mask", "jpeg", "all", "all"]
    assert "original, flip" in run("data", "preview", pack, "--out", tmp_path / "flip.png", "--preset", "flip").out


def test_a_recipe(pack: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'[data]\npacks = ["{pack}"]\n[length]\nsteps = 1\n[augmentation]\npreset = "none"\n'
        "[augmentation.gray]\nprobability = 1.0\n"
    )
    shown = run("data", "preview", pack, "--out", tmp_path / "sheet.png", "--recipe", recipe, "--json")
    assert shown.rows[0]["columns"] == ["original", "gray", "all", "all"]


def test_images_that_cannot_be_read_are_told(pack: Path, tmp_path: Path) -> None:
    copied = tmp_path / "pack"
    copied.mkdir()
    for file in pack.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    index = read_index(copied)
    with (copied / index.shards[0].name).open("r+b") as stream:
        stream.seek(int(index.numbers("offset")[2]))
        stream.write(bytes(int(index.numbers("length")[2])))
    shown = run("data", "preview", copied, "--out", tmp_path / "sheet.png", "--images", 6, "--json")
    assert shown.code == 1
    assert shown.errors == ["bad_image"]
    failed, told = shown.rows
    assert failed["error"]["message"] == "row 2: expected an image of 112×112 pixels"
    assert sorted(told["rows"]) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "stong"], "expected one of none, flip, light, default, strong, surveillance, got stong"),
        (["--operation", "hat"], "got hat"),
        (["--images", "0"], "should be greater than or equal to 1"),
    ],
)
def test_wrong_usage(pack: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    shown = run("data", "preview", pack, "--out", tmp_path / "sheet.png", *arguments)
    assert shown.code == 2
    assert message in " ".join(shown.err.replace("│", " ").split())


def test_places_and_packs_that_will_not_do(pack: Path, tmp_path: Path) -> None:
    assert run("data", "preview", pack, "--out", tmp_path / "sheet.jpg").code == 2
    taken = tmp_path / "sheet.png"
    taken.write_bytes(b"mine")
    shown = run("data", "preview", pack, "--out", taken, "--json")
    assert (shown.code, shown.errors) == (1, ["output_error"])
    assert taken.read_bytes() == b"mine"
    shown = run("data", "preview", tmp_path, "--out", tmp_path / "new.png", "--json")
    assert (shown.code, shown.errors) == (1, ["bad_pack"])
    photos = pack.parent / "photos"
    loose = tmp_path / "loose"
    pack_images(photos, loose)
    shown = run("data", "preview", loose, "--out", tmp_path / "new.png", "--json")
    assert shown.errors == ["bad_input"]
    assert "expected aligned images (mien data pack --align), got others" in shown.rows[0]["error"]["message"]
    assert not os.path.exists(tmp_path / "new.png")
