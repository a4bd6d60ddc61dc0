"""Chips of photos: the very ones that a recognizer embeds, in order, one for each photo."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from made_faces import face_image, fake_recognizer, write
from mien.errors import BadInput, MienError, NoFace, OutputError, SeveralFaces
from mien.images.samples import Samples
from mien.testing import FakeDetector
from mien.training.data.align_folders import align_folder
from mien.training.data.aligning import Chip, arcface_points, iter_chips
from mien.training.data.folders import open_listing
from mien.training.data.index import read_index
from mien.training.data.packing import pack_images
from mien.training.data.preparing import PackSettings
from mien.types import Faces

ALIGN = PackSettings(form="align", size=112, encoding="png")


def test_they_are_what_the_recognizer_embeds(real: mien.Recognizer, samples: Samples) -> None:
    photos: list[str | bytes] = [str(samples.obama[0]), samples.biden.read_bytes()]
    chips = list(iter_chips(real, photos, quality=True))
    for chip, photo in zip(chips, photos, strict=True):
        assert isinstance(chip, Chip)
        (analysis,) = real.analyze([photo], largest=True)
        np.testing.assert_array_equal(chip.pixels, analysis.chips.pixels[0])
        np.testing.assert_array_equal(chip.xyxy, analysis.faces.xyxy[0])
        assert chip.score == pytest.approx(float(analysis.faces.scores[0]))
        assert chip.size_wh == analysis.size_wh
        assert chip.quality is not None
        assert 0 < chip.quality <= 100
        # A face's own landmarks, near where the template has them, and where the chip shows them.
        assert np.abs(chip.landmarks - arcface_points(112)).max() < 8
        back = np.asarray(cv2.invertAffineTransform(analysis.chips.matrices[0]), np.float32)
        seen = np.asarray(chip.landmarks @ back[:, :2].T + back[:, 2], np.float32)
        np.testing.assert_allclose(seen, analysis.faces.landmarks[0], rtol=0, atol=0.01)
    without = list(iter_chips(real, photos))
    assert [chip.quality for chip in without if isinstance(chip, Chip)] == [None, None]


def test_the_points_grow_with_the_chip() -> None:
    edges = arcface_points(112).astype(np.float64) + 0.5
    np.testing.assert_allclose(arcface_points(224) + 0.5, edges * 2, atol=1e-4)
    assert not arcface_points(112).flags.writeable


def test_failures_keep_their_places(tmp_path: Path) -> None:
    found = list(
        iter_chips(
            fake_recognizer(),
            [
                str(write(tmp_path / "1.png", face_image(0))),
                str(tmp_path / "gone.png"),
                b"no image",
                str(write(tmp_path / "2.png", face_image(0, faces=0))),
                str(write(tmp_path / "3.png", face_image(1, faces=3))),
            ],
            size=64,
        )
    )
    assert [type(item) for item in found][:1] == [Chip]
    assert [item.code for item in found[1:4] if isinstance(item, MienError)] == ["bad_image", "bad_image", "no_face"]
    last = found[4]
    assert isinstance(last, Chip)
    assert last.pixels.shape == (64, 64, 3)
    assert last.pixels[32, 32].tolist() == [0, 255, 0]


class TwoFaces(FakeDetector):
    """A large face in the corner, a smaller one in the middle, in each image."""

    def _boxes(self, image: mien.types.ImageArray) -> Faces:
        boxes = np.asarray([[0, 0, 40, 40], [30, 30, 66, 66]], np.float32)
        points = np.asarray([(0.3, 0.35), (0.7, 0.35), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], np.float32)
        sides = boxes[:, None, 2:] - boxes[:, None, :2]
        return Faces(boxes, np.asarray([0.9, 0.8], np.float32), boxes[:, None, :2] + sides * points)


def test_which_face_of_several(tmp_path: Path) -> None:
    photo = str(write(tmp_path / "1.png", face_image(0)))
    two = fake_recognizer(TwoFaces())
    (central,) = iter_chips(two, [photo])
    (largest,) = iter_chips(two, [photo], face="largest")
    (single,) = iter_chips(two, [photo], face="single")
    assert isinstance(central, Chip)
    assert central.xyxy.tolist() == [30, 30, 66, 66]
    assert isinstance(largest, Chip)
    assert largest.xyxy.tolist() == [0, 0, 40, 40]
    assert isinstance(single, SeveralFaces)
    assert single.message == "expected one face, found 2"


def test_arguments_out_of_range() -> None:
    with pytest.raises(BadInput, match="face: expected one of central, largest, single, got 'first'"):
        list(iter_chips(fake_recognizer(), [], face="first"))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="size: expected 1 pixel or more, got 0"):
        list(iter_chips(fake_recognizer(), [], size=0))
    assert list(iter_chips(fake_recognizer(), [])) == []


def test_a_folder_of_chips_can_be_packed(tmp_path: Path) -> None:
    for person in range(2):
        for k in range(2):
            write(tmp_path / "src" / f"p{person}" / f"{k}.png", face_image(person, k))
    write(tmp_path / "src" / "p0" / "empty.png", face_image(0, faces=0))
    (tmp_path / "src" / "p0" / "0.jpg").write_bytes((tmp_path / "src" / "p0" / "0.png").read_bytes())
    report = align_folder(open_listing(tmp_path / "src"), tmp_path / "out", ALIGN, fake_recognizer())
    assert (report.chips, report.complete) == (5, True)
    assert [(item.name, item.code) for item in report.refused] == [("p0/empty.png", NoFace.code)]
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["failures.csv", "images.csv", "p0/0-2.png", "p0/0.png", "p0/1.png", "p1/0.png", "p1/1.png"]
    with (tmp_path / "out" / "failures.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream))[1:] == [["p0/empty.png", "p0", "no_face", "expected a face, found none"]]
    pack_images(tmp_path / "out" / "images.csv", tmp_path / "later", aligned=112)
    pack_images(tmp_path / "src", tmp_path / "once", form="align", encoding="png", recognizer=fake_recognizer())
    later, once = read_index(tmp_path / "later"), read_index(tmp_path / "once")
    assert later.digests == once.digests
    np.testing.assert_allclose(later.landmarks, once.landmarks, atol=1e-5)


def test_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    write(tmp_path / "src" / "p" / "1.png", face_image(0))
    with pytest.raises(OutputError, match="src: expected a folder that is not there yet, is empty"):
        align_folder(open_listing(tmp_path / "src"), tmp_path / "src", ALIGN, fake_recognizer())
    align_folder(open_listing(tmp_path / "src"), tmp_path / "out", ALIGN, fake_recognizer())
    with pytest.raises(OutputError, match="out: expected a folder that is not there yet, is empty"):
        align_folder(open_listing(tmp_path / "src"), tmp_path / "out", ALIGN, fake_recognizer())


@pytest.mark.slow
def test_processes_give_the_same(real: mien.Recognizer, samples: Samples, tmp_path: Path) -> None:
    folder = tmp_path / "src" / "ada"
    folder.mkdir(parents=True)
    image = cv2.imread(str(samples.obama[0]))
    assert image is not None
    for k in range(40):
        cv2.imwrite(str(folder / f"{k:02d}.png"), cv2.resize(image, (150 + k, 190 + k), interpolation=cv2.INTER_AREA))
    (folder / "05.png").write_bytes(b"no image")
    for workers in (1, 2):
        pack_images(tmp_path / "src", tmp_path / str(workers), form="align", workers=workers, recognizer=real)
    one, two = read_index(tmp_path / "1"), read_index(tmp_path / "2")
    assert len(one) == 39
    assert one.texts("name") == two.texts("name")
    assert one.digests == two.digests
