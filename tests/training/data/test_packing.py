"""Packs of folders, tables and RecordIO files: what is stored, byte for byte, and what is left out."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from pack_making import encoded, noise, people_folder
from PIL import Image
from record_writing import write_training_set

import mien
from made_faces import face_image, fake_recognizer, write
from mien.errors import BadInput, OutputError
from mien.images.samples import Samples
from mien.training.data import Index, ShardReader, digest_of, read_index
from mien.training.data.aligning import Chip, arcface_points, iter_chips
from mien.training.data.folders import open_listing
from mien.training.data.packing import pack, pack_images, remove_pack
from mien.training.data.preparing import PackSettings


def images_of(index: Index) -> dict[str, bytes]:
    with ShardReader(index, verify=True) as reader:
        return {name: reader.read(row) for row, name in enumerate(index.texts("name"))}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_folder_of_people(tmp_path: Path, workers: int) -> None:
    source = people_folder(tmp_path / "src", [40, 1, 30])
    report = pack_images(source, tmp_path / "pack", aligned=112, workers=workers, license="none", note="a note")
    index = read_index(tmp_path / "pack")
    assert (report.images, report.identities, report.refused, report.complete) == (71, 3, (), True)
    assert index.identities == ["person 0", "person 1", "person 2"]
    assert np.bincount(index.labels).tolist() == [40, 1, 30]
    assert set(index.texts("license")) == {"none"}
    assert (index.note, index.sources, index.aligned) == ("a note", (str(source),), 112)
    stored = images_of(index)
    assert stored == {f.relative_to(source).as_posix(): f.read_bytes() for f in source.rglob("*.jpg")}
    assert list(stored) == sorted(stored)
    assert index.digests == [digest_of(data) for data in stored.values()]
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == ["index.parquet", "shard-00000.tar"]


def test_progress_counts_every_image(tmp_path: Path) -> None:
    source = people_folder(tmp_path / "src", [3, 4])
    steps: list[int] = []
    pack(open_listing(source), tmp_path / "pack", PackSettings(), progress=steps.append)
    assert sum(steps) == 7


def test_aligned_images_get_the_points_of_the_template(tmp_path: Path) -> None:
    pack_images(people_folder(tmp_path / "src", [2]), tmp_path / "pack", aligned=112)
    points = read_index(tmp_path / "pack").landmarks
    np.testing.assert_array_equal(points, np.stack([arcface_points(112)] * 2))
    np.testing.assert_allclose(points[0, 0], [38.2946, 51.6963], atol=1e-4)


def test_photos_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "ada"
    folder.mkdir(parents=True)
    (folder / "photo.jpg").write_bytes(encoded(noise(1, 300, 200)))
    (folder / "photo.png").write_bytes(encoded(noise(2, 30, 20), ".png"))
    pack_images(tmp_path / "src", tmp_path / "pack")
    index = read_index(tmp_path / "pack")
    assert index.aligned is None
    assert np.isnan(index.landmarks).all()
    assert list(zip(index.numbers("width").tolist(), index.numbers("height").tolist(), strict=True)) == [
        (300, 200),
        (30, 20),
    ]
    assert images_of(index) == {f"ada/{f.name}": f.read_bytes() for f in folder.iterdir()}
    with tarfile.open(tmp_path / "pack" / "shard-00000.tar") as archive:
        assert archive.getnames() == ["00000000.jpg", "00000001.png"]


def test_what_readers_see_differently_is_encoded_anew(tmp_path: Path) -> None:
    """A turned JPEG, a PNG with alpha, a WebP, a chip of another size: not byte for byte, but the same to look at."""
    folder = tmp_path / "src" / "ada"
    folder.mkdir(parents=True)
    smooth = cv2.resize(noise(3, 8, 8), (112, 112), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(smooth)).save(folder / "turned.jpg", exif=exif, quality=100)
    Image.fromarray(np.dstack([smooth, np.full((112, 112), 255, np.uint8)])).save(folder / "alpha.png")
    Image.fromarray(smooth).save(folder / "lossless.webp", lossless=True)
    Image.fromarray(cv2.resize(smooth, (224, 224), interpolation=cv2.INTER_CUBIC)).save(folder / "large.png")
    pack_images(tmp_path / "src", tmp_path / "pack", aligned=112, encoding="png")
    stored = images_of(read_index(tmp_path / "pack"))
    assert len(stored) == 4
    for name, data in stored.items():
        assert data != (tmp_path / "src" / name).read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        assert image.shape == (112, 112, 3)
        assert np.abs(image[:, :, ::-1].astype(int) - smooth).mean() < (3 if "large" in name else 1.5), name


def test_images_that_cannot_be_packed_are_listed(tmp_path: Path) -> None:
    source = people_folder(tmp_path / "src", [3, 1])
    whole = (source / "person 0" / "0.jpg").read_bytes()
    (source / "person 0" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "person 0" / "1.jpg").write_bytes(b"")
    (source / "person 1" / "0.jpg").write_bytes(encoded(noise(1, 100, 112)))
    (source / "stray.jpg").write_bytes(whole)
    report = pack_images(source, tmp_path / "pack", aligned=112)
    index = read_index(tmp_path / "pack")
    assert report.images == len(index) == 1
    assert index.identities == ["person 0"]  # nobody is left without an image
    assert report.reasons == {"bad_image": 2, "bad_input": 2}
    with (tmp_path / "pack" / "failures.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["identity"], row["code"]) for row in rows] == [
        ("person 0/0.jpg", "person 0", "bad_image"),
        ("person 0/1.jpg", "person 0", "bad_image"),
        ("person 1/0.jpg", "person 1", "bad_input"),
        ("stray.jpg", "", "bad_input"),
    ]
    assert "truncated JPEG" in rows[0]["message"]
    assert "empty" in rows[1]["message"]
    assert rows[2]["message"] == "expected an aligned image of 112×112 pixels, got 100×112"
    assert rows[3]["message"].endswith("stray.jpg: expected to lie in a person's folder")


def test_nothing_that_can_be_packed(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "ada"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"expected images that can be packed, none of 1 can; the first: ada/1\.jpg: "):
        pack_images(tmp_path / "src", tmp_path / "pack")
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == ["failures.csv"]


def test_a_table(tmp_path: Path) -> None:
    people_folder(tmp_path / "x", [3])
    points = ";".join(f"{axis}{k}" for k in range(5) for axis in "xy")
    numbers = ";".join(str(k / 4) for k in range(10))
    (tmp_path / "t.csv").write_text(
        f"image;identity;license;{points}\n"
        f"x/person 0/0.jpg;Ada;CC0-1.0;{numbers}\n"
        f"x/person 0/1.jpg;Bob;;{';' * 9}\n"
        f"gone.jpg;Bob;;{';' * 9}\n"
    )
    report = pack_images(tmp_path / "t.csv", tmp_path / "pack", license="unknown")
    index = read_index(tmp_path / "pack")
    assert index.identities == ["Ada", "Bob"]
    assert index.texts("license") == ["CC0-1.0", "unknown"]
    np.testing.assert_array_equal(index.landmarks[0].ravel(), np.arange(10) / 4)
    assert np.isnan(index.landmarks[1]).all()
    assert [(item.name, item.code) for item in report.refused] == [("gone.jpg", "bad_image")]
    assert "gone.jpg: no such file" in report.refused[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,person\na.jpg,x\n", "expected columns image, identity .* missing identity"),
        ("image,identity,x0\na.jpg,x,1\n", "expected all ten columns of landmarks, x0 to y4, or none; missing y0, x1"),
        ("image,identity\n", r"t\.csv: expected a row for each image, found none"),
        ("image,identity\na.jpg,\n", "line 2: expected a value in column 'identity', got none"),
        (
            f"image,identity,{','.join(f'{a}{k}' for k in range(5) for a in 'xy')}\na.jpg,x,1,2,3,4,5,6,7,8,nan,10\n",
            "line 2: expected a number in column 'x4', got 'nan'",
        ),
    ],
)
def test_a_bad_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        open_listing(tmp_path / "t.csv")


def test_a_source_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gone: expected a folder of people, a table or a RecordIO file, got nothing of"):
        open_listing(tmp_path / "gone")
    with pytest.raises(BadInput, match="expected a folder of images for each person, found none"):
        open_listing(tmp_path)


def test_a_recordio_file(tmp_path: Path) -> None:
    people = [[encoded(noise(10 * p + k)) for k in range(2)] for p in range(3)]
    people[1][1] = b"no image"
    report = pack_images(write_training_set(tmp_path / "set", people), tmp_path / "pack", aligned=112, workers=2)
    index = read_index(tmp_path / "pack")
    assert index.identities == ["0000000", "0000001", "0000002"]
    assert index.labels.tolist() == [0, 0, 1, 2, 2]
    assert list(images_of(index).values()) == [people[0][0], people[0][1], people[1][0], people[2][0], people[2][1]]
    assert [(item.name, item.identity, item.code) for item in report.refused] == [
        ("train.rec/4", "0000001", "bad_image")
    ]


def test_faces_are_cut_and_the_rest_is_listed(tmp_path: Path) -> None:
    source = tmp_path / "src"
    write(source / "ada" / "1.png", face_image(0))
    write(source / "ada" / "2.png", face_image(0, faces=0))
    (source / "ada" / "3.png").write_bytes(b"no image")
    write(source / "bob" / "1.png", face_image(1, faces=2))
    (source / "bob" / "gone.png").symlink_to(tmp_path / "nowhere")
    report = pack_images(source, tmp_path / "pack", form="align", size=96, encoding="png", recognizer=fake_recognizer())
    index = read_index(tmp_path / "pack")
    assert index.texts("name") == ["ada/1.png", "bob/1.png"]
    assert index.aligned == 96
    assert index.numbers("score").tolist() == [1.0, 1.0]
    # The points of a made face come near the template's: it has the proportions of one.
    assert np.abs(index.landmarks - arcface_points(96)).max() < 8
    middle = cv2.imdecode(np.frombuffer(images_of(index)["ada/1.png"], np.uint8), cv2.IMREAD_COLOR)
    assert middle is not None
    assert middle.shape == (96, 96, 3)
    assert middle[48, 48].tolist() == [0, 0, 255]  # red, and OpenCV reads blue first
    assert [(item.name, item.code, item.message) for item in report.refused[:1]] == [
        ("ada/2.png", "no_face", "expected a face, found none")
    ]
    assert [(item.name, item.code) for item in report.refused[1:]] == [
        ("ada/3.png", "bad_image"),
        ("bob/gone.png", "bad_image"),
    ]
    single = pack_images(source, tmp_path / "single", form="align", face="single", recognizer=fake_recognizer())
    assert [item.message for item in single.refused if item.name == "bob/1.png"] == ["expected one face, found 2"]


def test_quality_of_chips(tmp_path: Path, real: mien.Recognizer, samples: Samples) -> None:
    (chip,) = iter_chips(real, [str(samples.obama[0])])
    assert isinstance(chip, Chip)
    blurred = np.asarray(cv2.GaussianBlur(chip.pixels, (0, 0), 4), np.uint8)
    for name, image in (("sharp", chip.pixels), ("blurred", blurred)):
        write(tmp_path / "src" / "ada" / f"{name}.png", image)
    pack_images(tmp_path / "src", tmp_path / "pack", aligned=112, quality=True)
    blurry, clear = read_index(tmp_path / "pack").quality.tolist()
    assert 0 <= blurry < clear - 10 <= 90


def test_a_pack_is_not_overwritten_by_itself(tmp_path: Path) -> None:
    source = people_folder(tmp_path / "src", [2])
    pack_images(source, tmp_path / "pack")
    before = (tmp_path / "pack" / "index.parquet").read_bytes()
    with pytest.raises(OutputError, match=r"pack: there is a pack already: index\.parquet"):
        pack_images(source, tmp_path / "pack")
    (tmp_path / "pack" / "index.parquet").unlink()
    # Shards whose index is elsewhere are not to be lost either.
    with pytest.raises(OutputError, match=r"pack: there is a pack already: shard-00000\.tar"):
        pack_images(source, tmp_path / "pack")
    (tmp_path / "pack" / "mine.txt").touch()
    remove_pack(tmp_path / "pack")
    pack_images(source, tmp_path / "pack")
    assert (tmp_path / "pack" / "mine.txt").exists()
    assert (tmp_path / "pack" / "index.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 4}, "size: expected 16 or more, got 4"),
        ({"workers": 0}, "workers: expected 1 or more, got 0"),
        ({"shard_bytes": 0}, "shard_bytes: expected 1 or more, got 0"),
        ({"quality": True}, "quality: expected chips, to be aligned or aligned already, got photos as they are"),
    ],
)
def test_settings_out_of_range(given: dict[str, int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        PackSettings(**given)  # type: ignore[arg-type]


def test_faces_need_a_recognizer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="align: expected a recognizer to find the faces with, got none"):
        pack_images(people_folder(tmp_path / "src", [1]), tmp_path / "pack", form="align")
