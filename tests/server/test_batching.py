"""Micro-batches: results equal to single calls, a bounded line, time-outs, and an orderly end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import mien
from mien.errors import BadImage, MienError, Overloaded
from mien.server import ServerSettings
from mien.server.batching import Batcher
from mien.testing import FakeDetector, FakeEmbedder, draw_face
from mien.types import Faces, ImageArray

TOLERANCE = 1e-5


def photo(color: tuple[int, int, int], size: int = 96) -> bytes:
    image = np.zeros((size, size, 3), np.uint8)
    draw_face(image, (16, 16, 64, 64), color)
    return bytes(cv2.imencode(".png", image[..., ::-1])[1])


class SlowDetector(FakeDetector):
    """Waits to be let go on; remembers how many images came together."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[int] = []

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        self.batches.append(len(images))
        assert self.go.wait(30)
        return super().detect(images, sizes_wh)


class FaultyDetector(FakeDetector):
    """Has a defect that one color brings out."""

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        if any(tuple(image[32, 32]) == (255, 0, 255) for image in images):
            raise ZeroDivisionError("a defect")
        return super().detect(images, sizes_wh)


def fake(detector: FakeDetector | None = None) -> mien.Recognizer:
    return mien.Recognizer(detector=detector or FakeDetector(), embedder=FakeEmbedder())


def settings(folder: Path, **values: object) -> ServerSettings:
    return ServerSettings(data=folder, gallery="memory:", **values)


async def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def test_results_are_those_of_single_calls(tmp_path: Path, real: mien.Recognizer, portraits: dict[str, bytes]) -> None:
    """Real photos of different sizes, all kinds of calls at once: what each gets does not depend on the others."""
    images = list(portraits.values())

    async def all_at_once() -> list[Any]:
        batcher = Batcher(real, settings(tmp_path))
        await batcher.start()
        calls: list[Coroutine[Any, Any, Any]] = []
        for image in images:
            calls += [batcher.analyze(image), batcher.detect(image, largest=True), batcher.assess(image)]
            calls += [batcher.portray(image), batcher.analyze(image, largest=True, quality=True)]
        found = await asyncio.gather(*calls)
        await batcher.close()
        return list(found)

    found = asyncio.run(all_at_once())
    for number, image in enumerate(images):
        analysis, (size_wh, faces), (_, quality), (portrayed, portrait), measured = found[5 * number : 5 * number + 5]
        alone = real.analyze(image)
        assert len(alone) > 0
        assert analysis.size_wh == size_wh == alone.size_wh
        np.testing.assert_allclose(analysis.faces.xyxy, alone.faces.xyxy, atol=TOLERANCE, rtol=TOLERANCE)
        np.testing.assert_allclose(analysis.templates.vectors, alone.templates.vectors, atol=TOLERANCE)
        np.testing.assert_allclose(portrayed.templates.vectors, alone.templates.vectors, atol=TOLERANCE)
        assert len(portrait) == 1
        np.testing.assert_allclose(faces.xyxy, alone.faces.largest().xyxy, atol=TOLERANCE, rtol=TOLERANCE)
        np.testing.assert_allclose(quality.unified, real.assess(image).unified, atol=1e-3)
        with_quality = real.analyze(image, largest=True, quality=True)
        np.testing.assert_allclose(measured.templates.vectors, with_quality.templates.vectors, atol=TOLERANCE)
        assert measured.quality is not None


def test_images_that_come_at_once_go_together(tmp_path: Path) -> None:
    detector = SlowDetector()

    async def run() -> None:
        batcher = Batcher(fake(detector), settings(tmp_path, batch=8))
        await batcher.start()
        first = asyncio.ensure_future(batcher.detect(photo((255, 0, 0))))
        await until(lambda: detector.batches)
        rest = [asyncio.ensure_future(batcher.detect(photo((0, 255, k)))) for k in range(20)]
        await until(lambda: batcher.depth == 20)
        await asyncio.sleep(0.1)
        detector.go.set()
        found = await asyncio.gather(first, *rest)
        assert [len(faces) for _, faces in found] == [1] * 21
        assert batcher.depth == batcher.in_flight == 0
        await batcher.close()

    asyncio.run(run())
    assert detector.batches[0] == 1
    assert max(detector.batches) <= 8
    assert len(detector.batches) <= 6


def test_a_bad_image_is_no_harm_to_its_neighbors(tmp_path: Path) -> None:
    async def run() -> list[object]:
        batcher = Batcher(fake(FaultyDetector()), settings(tmp_path, wait_ms=200.0))
        await batcher.start()
        images = [photo((255, 0, 0)), b"no image", photo((255, 0, 255)), photo((0, 0, 255)), b""]
        found = await asyncio.gather(*map(batcher.analyze, images), return_exceptions=True)
        await batcher.close()
        return list(found)

    red, text, defect, blue, empty = asyncio.run(run())
    assert isinstance(text, BadImage)
    assert isinstance(empty, BadImage)
    assert isinstance(defect, ZeroDivisionError)
    assert isinstance(red, mien.Analysis)
    assert isinstance(blue, mien.Analysis)
    assert float(red.templates.vectors[0] @ blue.templates.vectors[0]) < 0.5


def test_a_full_line_takes_nobody_in(tmp_path: Path) -> None:
    detector = SlowDetector()

    async def run() -> None:
        batcher = Batcher(fake(detector), settings(tmp_path, queue=3))
        await batcher.start()
        running = asyncio.ensure_future(batcher.detect(photo((255, 0, 0))))
        await until(lambda: detector.batches)
        waiting = [asyncio.ensure_future(batcher.detect(photo((0, 255, 0)))) for _ in range(3)]
        await until(lambda: batcher.depth == 3)
        with pytest.raises(Overloaded, match="at most 3 images") as refusal:
            await batcher.detect(photo((0, 0, 255)))
        assert refusal.value.retry_after_s is not None
        assert refusal.value.retry_after_s >= 1
        detector.go.set()
        assert len(await asyncio.gather(running, *waiting)) == 4
        await batcher.close()

    asyncio.run(run())


def test_who_waits_too_long_is_told_so(tmp_path: Path) -> None:
    detector = SlowDetector()

    async def run() -> None:
        batcher = Batcher(fake(detector), settings(tmp_path, timeout_s=0.2))
        await batcher.start()
        first = asyncio.ensure_future(batcher.detect(photo((255, 0, 0))))
        await until(lambda: detector.batches)
        with pytest.raises(Overloaded, match=r"within 0\.2 s"):
            await batcher.detect(photo((0, 255, 0)))
        with pytest.raises(Overloaded):
            await first
        assert batcher.depth == 0
        detector.go.set()
        await batcher.close()

    asyncio.run(run())
    assert detector.batches == [1]


def test_who_goes_away_leaves_the_line(tmp_path: Path) -> None:
    detector = SlowDetector()

    async def run() -> None:
        batcher = Batcher(fake(detector), settings(tmp_path))
        await batcher.start()
        first = asyncio.ensure_future(batcher.detect(photo((255, 0, 0))))
        await until(lambda: detector.batches)
        gone = asyncio.ensure_future(batcher.detect(photo((0, 255, 0))))
        await until(lambda: batcher.depth == 1)
        gone.cancel()
        await until(lambda: batcher.depth == 0)
        detector.go.set()
        await first
        await batcher.close()

    asyncio.run(run())
    assert detector.batches == [1]


def test_closing_finishes_what_was_taken(tmp_path: Path) -> None:
    detector = SlowDetector()

    async def run() -> None:
        batcher = Batcher(fake(detector), settings(tmp_path, batch=2))
        await batcher.start()
        taken = [asyncio.ensure_future(batcher.detect(photo((255, 0, 0)))) for _ in range(7)]
        await until(lambda: batcher.in_flight == 7)
        closing = asyncio.ensure_future(batcher.close())
        await until(lambda: batcher._closed)
        with pytest.raises(Overloaded, match="shutting down"):
            await batcher.detect(photo((0, 255, 0)))
        detector.go.set()
        assert [len(faces) for _, faces in await asyncio.gather(*taken)] == [1] * 7
        await closing

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() <= before + 1


def test_images_over_the_limit_are_not_decoded(tmp_path: Path) -> None:
    async def run() -> list[object]:
        batcher = Batcher(fake(), settings(tmp_path, max_pixels=95 * 95))
        await batcher.start()
        found = await asyncio.gather(
            batcher.detect(photo((255, 0, 0))), batcher.detect(photo((255, 0, 0), 94)), return_exceptions=True
        )
        await batcher.close()
        return list(found)

    large, small = asyncio.run(run())
    assert isinstance(large, BadImage)
    assert not isinstance(small, MienError)


def test_large_images_are_decoded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for few pixels all are answered all the same, the largest too, which alone is past it."""
    monkeypatch.setattr("mien.server.batching._AHEAD_PIXELS", 100 * 100)

    async def run() -> list[object]:
        batcher = Batcher(fake(), settings(tmp_path))
        await batcher.start()
        images = [photo((255, 0, k), 96 + 40 * (k % 3)) for k in range(30)]
        found = await asyncio.wait_for(asyncio.gather(*map(batcher.detect, images)), 30)
        await batcher.close()
        return list(found)

    assert len(asyncio.run(run())) == 30
