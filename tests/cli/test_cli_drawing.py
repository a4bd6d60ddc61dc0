from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.cli.drawing import KNOWN, UNKNOWN, Album, annotate
from mien.cli.fonts import font_for, writable
from mien.errors import OutputError
from mien.types import Faces


def _faces(*boxes: tuple[float, float, float, float]) -> Faces:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    return Faces(xyxy, np.full(len(xyxy), 0.9), np.repeat(middle[:, None], 5, axis=1))


def _has(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], color: tuple[int, int, int]) -> bool:
    return bool((image == color).all(axis=-1).any())


def test_boxes_and_labels_are_drawn_on_a_copy() -> None:
    image = np.full((300, 400, 3), 200, np.uint8)
    drawn = annotate(image, _faces((50, 60, 150, 180), (250, 60, 350, 180)), ["Ada 0.91", ""], [KNOWN, UNKNOWN])
    assert (image == 200).all()
    assert drawn.shape == image.shape
    assert tuple(drawn[120, 50]) == KNOWN
    assert tuple(drawn[120, 250]) == UNKNOWN
    above_first, above_second = drawn[30:58, 50:150], drawn[30:58, 250:350]
    assert _has(above_first, KNOWN)
    assert (above_second == 200).all()


@pytest.mark.parametrize("box", [(-50, -60, 500, 500), (0, 0, 40, 40), (380, 280, 420, 320), (10, 290, 10, 290)])
def test_labels_stay_on_the_image(box: tuple[float, float, float, float]) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    drawn = annotate(image, _faces(box), ["A name that is rather long 0.52"], [KNOWN])
    text = (drawn == KNOWN).all(axis=-1)
    assert text.sum() > 300


def test_no_faces_and_tiny_images() -> None:
    image = np.full((4, 3, 3), 7, np.uint8)
    assert (annotate(image, Faces.none(), [], []) == image).all()
    assert annotate(image, _faces((0, 0, 2, 3)), ["x"], [KNOWN]).shape == (4, 3, 3)


def test_what_no_font_can_write_becomes_a_question_mark() -> None:
    font = font_for("Zoë", 20)
    assert writable("Zoë", font) == "Zoë"
    assert writable("a\U000fffffb", font) == "a?b"


def test_files_are_whole_and_numbered(tmp_path: Path) -> None:
    album = Album(tmp_path / "out")
    image = np.zeros((5, 6, 3), np.uint8)
    names = [album.save(below, image).name for below in ("a.jpg", "a.png", "b.c.jpg")]
    assert names == ["a.png", "a-2.png", "b.c.png"]
    assert len(list((tmp_path / "out").iterdir())) == 3
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Album(tmp_path / "file")
    (tmp_path / "out" / "d.png").mkdir()
    with pytest.raises(OutputError):
        album.save("d.jpg", image)
    assert not list((tmp_path / "out").glob(".part-*"))
