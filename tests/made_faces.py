"""Small sets of made faces, and a recognizer that tells their people apart by color."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

import mien
from mien.testing import FakeDetector, FakeEmbedder, draw_face
from mien.types import Faces, ImageArray

COLORS = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
    (255, 128, 0),
    (128, 0, 255),
]


class CountingDetector(FakeDetector):
    """Counts the images it has seen; interrupts as Ctrl-C does once it has seen ``limit``."""

    def __init__(self, limit: int | None = None) -> None:
        self.seen = 0
        self.limit = limit

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        if self.limit is not None and self.seen + len(images) > self.limit:
            raise KeyboardInterrupt
        self.seen += len(images)
        return super().detect(images, sizes_wh)


def fake_recognizer(detector: FakeDetector | None = None, *, batch: int = 2) -> mien.Recognizer:
    found = CountingDetector() if detector is None else detector
    return mien.Recognizer(mien.Settings(batch=batch), detector=found, embedder=FakeEmbedder())


def face_image(person: int, variant: int = 0, *, faces: int = 1) -> ImageArray:
    """A person's face, a little different in each variant; further faces are smaller ones of the next person."""
    image = np.zeros((96, 96, 3), np.uint8)
    if faces:
        color = np.clip(np.asarray(COLORS[person]) + np.asarray([7, 5, 3]) * variant, 0, 255).tolist()
        draw_face(image, (20, 20, 76, 76), (color[0], color[1], color[2]))
    for k in range(1, faces):
        draw_face(image, (0, 0, 6 + k, 6 + k), COLORS[(person + 1) % len(COLORS)])
    return image


def write(path: Path, image: ImageArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image))
    return path


def encoded(image: ImageArray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def people_folder(root: Path, counts: Sequence[int]) -> Path:
    for person, count in enumerate(counts):
        for variant in range(count):
            write(root / f"person{person}" / f"{variant}.png", face_image(person, variant))
    return root


def pairs_table(root: Path, people: int = 4, *, separator: str = ",", encoding: str = "utf-8") -> Path:
    """A folder of people and a table of mated and non-mated pairs, two folds of unequal size."""
    people_folder(root, [2] * people)
    rows = [["a", "b", "same", "fold"]]
    rows += [[f"person{k}/0.png", f"person{k}/1.png", "1", str(k % 2)] for k in range(people)]
    rows += [
        [f"person{i}/0.png", f"person{j}/{j % 2}.png", "0", str(j % 2)]
        for i in range(people)
        for j in range(i + 1, people)
    ]
    table = root / "pairs.csv"
    table.write_bytes("\r\n".join(separator.join(row) for row in rows).encode(encoding))
    return table
