from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from mien.errors import BadImage, BadInput
from mien.galleries.protocol import Portraits
from mien.images import load
from mien.images.samples import Samples
from mien.recognizer.portraits import PORTRAIT_SIZE, chips_of, embed_portraits, portrait_matrices, take_portraits
from mien.types import Faces, FloatArray, ImageArray


@pytest.fixture(scope="module")
def photo(samples: Samples) -> ImageArray:
    return load(samples.obama[0])


@pytest.fixture(scope="module")
def faces(real: mien.Recognizer, photo: ImageArray) -> Faces:
    return real.detect(photo)


def middle(landmarks: FloatArray) -> FloatArray:
    return np.asarray(landmarks.mean(axis=0), np.float32)


def test_a_portrait_shows_the_face_in_its_middle(photo: ImageArray, faces: Faces) -> None:
    taken = take_portraits(photo, faces)
    assert len(taken) == 1
    picture = load(taken.pictures[0])
    assert picture.shape == (PORTRAIT_SIZE, PORTRAIT_SIZE, 3)
    eyes, mouth = taken.landmarks[0, :2], taken.landmarks[0, 3:]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(35.2 * 1.7, rel=0.15)
    assert np.abs(middle(eyes)[0] - 128) < 15
    assert mouth[:, 1].min() > eyes[:, 1].max() > 90
    # The wide picture shows what the recognizer finds: the same face, at the landmarks that go with it.
    found = mien.Recognizer().detect(picture, largest=True)
    np.testing.assert_allclose(found.landmarks[0], taken.landmarks[0], atol=10)


def test_jpegs_keep_all_of_the_color(photo: ImageArray, faces: Faces) -> None:
    (data,) = take_portraits(photo, faces).pictures
    start = data.index(b"\xff\xc0")
    sampling = [data[start + 11 + 3 * k] for k in range(3)]
    assert sampling == [0x11, 0x11, 0x11]


@pytest.mark.parametrize("name", ["sface", "dlib-resnet"])
def test_templates_of_portraits_are_those_of_the_photo(samples: Samples, name: str) -> None:
    recognizer = mien.Recognizer(mien.Settings(embedder=name))
    for path in (*samples.obama[:2], samples.biden, samples.group):
        analysis = recognizer.analyze(path)
        taken = take_portraits(load(path), analysis.faces)
        again = embed_portraits(taken.pictures, taken.landmarks, recognizer.embedder)
        assert again.space == analysis.templates.space
        assert (again.vectors * analysis.templates.vectors).sum(axis=1).min() > 0.985


def test_chips_lie_where_those_of_the_photo_do(real: mien.Recognizer, photo: ImageArray, faces: Faces) -> None:
    taken = take_portraits(photo, faces)
    chips = chips_of(taken.pictures, taken.landmarks, real.embedder)
    wanted = real.analyze(photo).chips.pixels
    assert chips.shape == wanted.shape
    gray, other = (cv2.cvtColor(c[0], cv2.COLOR_RGB2GRAY).astype(np.float32) for c in (chips, wanted))
    (shift, strength) = cv2.phaseCorrelate(gray, other)
    assert np.hypot(shift[0], shift[1]) < 0.15
    assert strength > 0.8
    assert np.abs(chips.astype(int) - wanted).mean() < 3


def test_reduced_pixels_give_the_same_portrait(photo: ImageArray, faces: Faces) -> None:
    half = cv2.resize(
        photo[: photo.shape[0] // 2 * 2, : photo.shape[1] // 2 * 2], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
    )
    whole, reduced = take_portraits(photo, faces), take_portraits(np.asarray(half, np.uint8), faces, 2)
    np.testing.assert_array_equal(whole.landmarks, reduced.landmarks)
    assert np.abs(load(whole.pictures[0]).astype(int) - load(reduced.pictures[0])).mean() < 4


def test_what_lies_outside_is_black(photo: ImageArray, faces: Faces) -> None:
    left, top = faces.xyxy[0, :2].astype(int)
    cropped = np.ascontiguousarray(photo[top:, left:])
    moved = Faces(
        faces.xyxy - [left, top, left, top], faces.scores, faces.landmarks - np.array([left, top], np.float32)
    )
    picture = load(take_portraits(cropped, moved).pictures[0])
    assert picture[:20, :20].max() < 20
    assert picture[100:150, 100:150].mean() > 40


def test_no_faces(real: mien.Recognizer, photo: ImageArray) -> None:
    taken = take_portraits(photo, Faces.none())
    assert (len(taken), taken.landmarks.shape) == (0, (0, 5, 2))
    assert len(embed_portraits(taken.pictures, taken.landmarks, real.embedder)) == 0
    assert portrait_matrices(Faces.none()).shape == (0, 2, 3)


def test_bad_portraits(real: mien.Recognizer, photo: ImageArray, faces: Faces) -> None:
    taken = take_portraits(photo, faces)
    with pytest.raises(BadInput, match="landmarks"):
        chips_of(taken.pictures, taken.landmarks[:0], real.embedder)
    for damaged in (b"", b"hello", taken.pictures[0][:500]):
        with pytest.raises(BadImage):
            chips_of([damaged], taken.landmarks, real.embedder)


def test_enrolling_keeps_portraits_where_they_are_wanted(
    samples: Samples, real: mien.Recognizer, tmp_path: Path
) -> None:
    from mien.galleries.exchange_rows import Migratable

    url = f"sqlite:///{tmp_path}/people.db"
    photos = [samples.obama[0], samples.group, samples.astronaut]
    with mien.open_gallery(f"{url}?portraits=yes") as keeping, mien.open_gallery(f"{url}?name=plain") as plain:
        for gallery in (keeping, plain):
            for photo in photos:
                real.enroll(gallery, "Somebody", photo, face="largest")
        # The picture changes nothing in the template.
        np.testing.assert_array_equal(keeping.templates("Somebody")[1].vectors, plain.templates("Somebody")[1].vectors)
        assert isinstance(keeping, Migratable)
        assert isinstance(plain, Migratable)
        keeping.begin_migration("other@00000000", 3)
        kept = keeping.unmigrated(10)
        assert len(kept) == 3
        for row, vector in zip(kept, keeping.templates("Somebody")[1].vectors, strict=True):
            assert row.picture is not None
            assert row.landmarks is not None
            again = embed_portraits([row.picture], row.landmarks[None], real.embedder)
            assert float(again.vectors[0] @ vector) > 0.985
        plain.begin_migration("other@00000000", 3)
        assert [row.picture for row in plain.unmigrated(10)] == [None] * 3


def test_portraits_are_one_a_face() -> None:
    with pytest.raises(BadInput, match="landmarks"):
        Portraits([b""], np.zeros((2, 5, 2), np.float32))
