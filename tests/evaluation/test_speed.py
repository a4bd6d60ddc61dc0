"""Timing, scenes, and the pipeline's steps by themselves."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mien.errors import BadInput, MienError, OutputError
from mien.evaluation.machine import describe_machine, describe_versions, usable_cores
from mien.evaluation.speed import (
    STEPS,
    Times,
    Way,
    compose,
    measure_cold_start,
    measure_scene,
    measure_search,
    plot_scaling,
    scene_of,
    time_calls,
)
from mien.evaluation.speed.steps import filled_gallery
from mien.images import load
from mien.recognizer import Recognizer, Settings
from mien.testing import FakeDetector, FakeEmbedder


def recognizer() -> Recognizer:
    return Recognizer(detector=FakeDetector(), embedder=FakeEmbedder())


def test_times_are_the_median_and_the_95th_percentile_in_milliseconds() -> None:
    found = Times.of([k / 1000 for k in range(1, 102)])
    assert found.calls == 101
    assert found.median_ms == pytest.approx(51)
    assert found.p95_ms == pytest.approx(96)


def test_no_calls_have_no_times() -> None:
    with pytest.raises(BadInput, match="at least one timed call"):
        Times.of([])


def test_the_first_call_is_not_timed() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(0)
        if len(calls) == 1:
            time.sleep(0.5)

    found = time_calls(work, seconds=0, least=7)
    assert found.calls == 7
    assert len(calls) == 8
    assert found.p95_ms < 400


@pytest.mark.parametrize(("size_wh", "faces"), [((640, 480), 1), ((1000, 200), 7), ((64, 1000), 3), ((50, 50), 0)])
def test_a_scene_has_the_size_and_the_number_of_portraits_asked_for(size_wh: tuple[int, int], faces: int) -> None:
    portrait = np.zeros((120, 100, 3), np.uint8)
    portrait[..., 0] = 255
    scene = compose(portrait, size_wh, faces)
    image = load(scene.content)
    assert image.shape == (size_wh[1], size_wh[0], 3)
    red = (image[..., 0] > 200) & (image[..., 1] < 60)
    assert red.any() == (faces > 0)
    if faces == 1:
        assert abs(int(red.sum()) - min(size_wh[0] / 100, size_wh[1] / 120) ** 2 * 12000) < 0.1 * red.sum()


def test_a_scene_too_small_for_its_faces_is_refused() -> None:
    with pytest.raises(BadInput, match="holds 500 faces"):
        compose(np.zeros((100, 100, 3), np.uint8), (4, 4), 500)
    with pytest.raises(BadInput, match="no less than 0 faces"):
        compose(np.zeros((100, 100, 3), np.uint8), (4, 4), -1)


def test_a_file_is_timed_as_it_is(tmp_path: Path) -> None:
    made = compose(np.zeros((10, 10, 3), np.uint8), (30, 20), 1)
    path = tmp_path / "photo.jpg"
    path.write_bytes(made.content)
    scene = scene_of(path, "photo.jpg")
    assert scene.content == made.content
    assert scene.size_wh == (30, 20)
    assert load(scene_of(np.zeros((5, 7, 3), np.uint8), "array").content).shape == (5, 7, 3)


def test_the_steps_are_those_of_analyze_and_each_is_timed() -> None:
    scene = compose(np.full((60, 60, 3), 90, np.uint8), (320, 240), 1)
    found = measure_scene(recognizer(), scene, 3, seconds=0.01)
    assert tuple(found.steps) == STEPS
    assert found.images == 3
    assert found.faces == len(recognizer().analyze(scene.content))
    assert all(times.calls >= 5 and 0 < times.median_ms <= times.p95_ms for times in found.steps.values())
    assert found.images_per_second == pytest.approx(3000 / found.together.median_ms)


def test_a_gallery_is_filled_with_as_many_as_asked_for_and_searched() -> None:
    made = recognizer()
    gallery = filled_gallery(made.space, made.embedder.dimension, 60_001)
    assert len(gallery) == 60_001
    assert measure_search(made, 100, seconds=0.01).calls >= 5


def test_a_process_that_cannot_start_is_an_error_with_its_last_line() -> None:
    scene = compose(np.zeros((10, 10, 3), np.uint8), (30, 20), 1)
    settings = Settings().model_copy(update={"embedder": "nobody-has-this"})
    with pytest.raises(MienError, match="nobody-has-this"):
        measure_cold_start(settings, scene)


def test_the_plot_is_an_image_and_says_where_it_cannot_be_written(tmp_path: Path) -> None:
    times = Times(10, 20.0, 25.0)
    ways = [Way("threads", 1, times, 50.0), Way("threads", 2, times, 60.0), Way("instances", 2, times, 90.0)]
    plot_scaling(ways, tmp_path / "plot.png", title="a test")
    assert load(tmp_path / "plot.png").std() > 5
    for name in ("none/plot.png", "plot.nonsense"):
        with pytest.raises(OutputError, match=r"expected a (file in a folder that exists|name that ends in)"):
            plot_scaling(ways, tmp_path / name, title="a test")


def test_the_machine_and_the_versions_are_told() -> None:
    facts = describe_machine()
    assert facts["processor"]
    assert facts["cores"].startswith(f"{usable_cores()} of")
    assert describe_versions()["numpy"] == np.__version__
