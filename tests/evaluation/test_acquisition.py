from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest

from made_faces import CountingDetector, encoded, face_image, fake_recognizer, write
from mien.errors import BadInput, CacheError
from mien.evaluation import Sample, acquire, central_face, resumable
from mien.types import Faces, ImageArray


def samples(root: Path) -> list[Sample]:
    images = {
        "one.png": face_image(0),
        "two.png": face_image(1, faces=2),
        "none.png": face_image(0, faces=0),
        "more.png": face_image(2),
    }
    found = [Sample(name, str(write(root / name, image))) for name, image in images.items()]
    (root / "text.png").write_text("no image")
    return [*found, Sample("text.png", str(root / "text.png")), Sample("bytes", encoded(face_image(3)))]


def test_what_fails_is_counted_with_its_reason(tmp_path: Path) -> None:
    told: list[int] = []
    recognizer = fake_recognizer()
    found = acquire(recognizer, samples(tmp_path), progress=told.append)
    assert sum(told) == len(found) == 6
    assert found.acquired.tolist() == [True, True, False, True, False, True]
    assert found.codes == (None, None, "no_face", None, "bad_image", None)
    assert found.failures == {"no_face": 1, "bad_image": 1}
    assert found.faces.tolist() == [1, 2, 0, 1, 0, 1]
    assert not found.has_quality
    one = recognizer.analyze(str(tmp_path / "one.png"))
    np.testing.assert_array_equal(found.vectors[0], one.templates.vectors[0])
    np.testing.assert_array_equal(found.xyxy[0], one.faces.xyxy[0])
    np.testing.assert_array_equal(found.landmarks[0], one.faces.landmarks[0])
    assert np.isnan(found.xyxy[2]).all()
    scores = found.compared(np.asarray([0, 0, 2]), np.asarray([0, 1, 3]))
    assert scores[0] == pytest.approx(1)
    assert scores[1] < 0.98
    assert np.isnan(scores[2])


def test_several_faces_may_be_a_failure(tmp_path: Path) -> None:
    found = acquire(fake_recognizer(), samples(tmp_path), face="single")
    assert found.codes[1] == "several_faces"
    with pytest.raises(BadInput, match="central, largest, single"):
        acquire(fake_recognizer(), [], face="best")  # type: ignore[arg-type]


def test_nothing_to_acquire() -> None:
    found = acquire(fake_recognizer(), [])
    assert (len(found), found.failures, found.has_quality) == (0, {}, False)


def test_the_central_face_is_large_and_near_the_middle() -> None:
    boxes = np.asarray([[0, 0, 44, 44], [40, 40, 80, 80]], np.float32)
    faces = Faces(boxes, np.ones(2, np.float32), np.zeros((2, 5, 2), np.float32))
    assert central_face(faces, (120, 120)) == 1
    assert central_face(faces, (44, 44)) == 0


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    images = samples(tmp_path)
    whole = acquire(fake_recognizer(), images)
    keep = tmp_path / "kept.sqlite"
    stopped = CountingDetector(limit=2)
    with pytest.raises(KeyboardInterrupt):
        acquire(fake_recognizer(stopped), images, keep=keep)
    assert stopped.seen == 2
    assert stat.S_IMODE(keep.stat().st_mode) == 0o600
    going_on = CountingDetector()
    told: list[int] = []
    found = acquire(fake_recognizer(going_on), images, keep=keep, progress=told.append)
    assert going_on.seen == 3
    assert (told[0], sum(told)) == (2, 6)
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    np.testing.assert_array_equal(found.landmarks, whole.landmarks)
    assert found.codes == whole.codes
    assert found.messages == whole.messages
    again = CountingDetector()
    acquire(fake_recognizer(again), images, keep=keep)
    assert again.seen == 0
    write(tmp_path / "one.png", face_image(4))
    os.utime(tmp_path / "one.png", ns=(1, 1))
    changed = acquire(fake_recognizer(again), images, keep=keep)
    assert again.seen == 1
    assert (changed.vectors[0] != whole.vectors[0]).any()


def test_one_image_under_two_names_is_looked_at_once() -> None:
    detector = CountingDetector()
    same = encoded(face_image(0))
    told: list[int] = []
    found = acquire(fake_recognizer(detector), [Sample("a", same), Sample("b", same)], progress=told.append)
    assert (detector.seen, sum(told), found.acquired.tolist()) == (1, 2, [True, True])


def test_a_file_of_other_settings_is_refused(tmp_path: Path) -> None:
    images, keep = samples(tmp_path), tmp_path / "kept.sqlite"
    acquire(fake_recognizer(), images, keep=keep)
    with pytest.raises(BadInput, match="made with face 'largest'"):
        acquire(fake_recognizer(), images, face="largest", keep=keep)


def test_files_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, by any means" * 100)
    for place in (tmp_path, tmp_path / "text", tmp_path / "text" / "below"):
        with pytest.raises(CacheError, match="cannot keep"):
            acquire(fake_recognizer(), samples(tmp_path), keep=place)


def test_the_cache_keeps_work_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    recognizer = fake_recognizer()

    def interrupted() -> Generator[Path, None, None]:
        with resumable(recognizer, "central", "set") as file:
            file.parent.mkdir(parents=True)
            file.touch()
            yield file

    work = interrupted()
    file = next(work)
    with pytest.raises(KeyboardInterrupt):
        work.throw(KeyboardInterrupt())
    assert file.exists()
    with resumable(recognizer, "central", "set") as same:
        assert same == file
        with pytest.raises(CacheError), resumable(recognizer, "central", "set"):
            pass
    assert not file.exists()
    with resumable(recognizer, "largest", "set") as other:
        assert other != file
    own = tmp_path / "own.sqlite"
    with resumable(recognizer, "central", "set", own) as kept:
        kept.touch()
    assert own.exists()


class LyingDetector(CountingDetector):
    """Finds faces of photos that lie on a side, though not surely, and surely once they are turned."""

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        found = super().detect(images, sizes_wh)
        # The mark in a corner of the photo as it lies.
        return [
            Faces(faces.xyxy, np.full(len(faces), 0.7 if image[0, 0].any() else 0.99, np.float32), faces.landmarks)
            for image, faces in zip(images, found, strict=True)
        ]


def test_quality_leaves_all_else_as_it_is(tmp_path: Path) -> None:
    lying = face_image(0)
    lying[0, 0] = 255
    images = [Sample("lying", encoded(lying)), *samples(tmp_path)]
    plain, measured = (acquire(fake_recognizer(LyingDetector()), images, quality=q) for q in (False, True))
    turned = fake_recognizer(LyingDetector()).assess(encoded(lying))
    assert turned.measures[0, turned.names.index("face_rotation")] != 0
    for name in ("vectors", "acquired", "xyxy", "landmarks", "scores", "faces", "size_wh"):
        np.testing.assert_array_equal(getattr(measured, name), getattr(plain, name), err_msg=name)
    assert measured.codes == plain.codes
    assert (measured.has_quality, plain.has_quality) == (True, False)


def test_kept_templates_are_looked_at_again_for_their_quality_alone(tmp_path: Path) -> None:
    images, keep = samples(tmp_path), tmp_path / "kept.sqlite"
    acquire(fake_recognizer(), images, keep=keep)
    again = CountingDetector()
    assert acquire(fake_recognizer(again), images, quality=True, keep=keep).has_quality
    assert again.seen == 4
    assert acquire(fake_recognizer(again), images, quality=True, keep=keep).has_quality
    acquire(fake_recognizer(again), images, keep=keep)
    assert again.seen == 4


def test_quality_is_measured_where_it_is_asked_for(tmp_path: Path) -> None:
    found = acquire(fake_recognizer(), samples(tmp_path), quality=True)
    assert found.has_quality
    assert np.isnan(found.quality).tolist() == (~found.acquired).tolist()
