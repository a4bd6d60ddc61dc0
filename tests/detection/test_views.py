from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.detection import ADAPTIVE, Range, View, framed_view, plan_views, render
from mien.types import FloatArray

YUNET = Range(20, 384)
SIZES = st.tuples(st.integers(1, 6000), st.integers(1, 6000))


def scales(size_wh: tuple[int, int], views: list[View]) -> list[float]:
    return [max(v.picture_wh) / max(size_wh) for v in views]


@given(SIZES, st.integers(8, 400))
def test_views_cover_every_face_from_the_smallest_to_the_frame(size_wh: tuple[int, int], min_face: int) -> None:
    views = plan_views(size_wh, min_face, YUNET)
    found = sorted((YUNET.smallest / s, YUNET.largest / s) for s in scales(size_wh, views))
    longest = max(size_wh)
    assert found[0][0] <= max(min_face, YUNET.smallest / 2) * 1.02 + 1
    assert found[-1][1] >= longest * 0.98
    for (_, upto), (start, _) in pairwise(found):
        assert start < upto, "a face between two views would be missed"


@given(SIZES, st.sampled_from([ADAPTIVE, 20, 40, 200]))
def test_canvases_fit_the_network_and_the_picture(size_wh: tuple[int, int], min_face: int) -> None:
    for view in [*plan_views(size_wh, min_face, Range(20, 320, 0.25)), framed_view(size_wh)]:
        assert view.canvas_wh[0] % 32 == view.canvas_wh[1] % 32 == 0
        assert all(p + 2 * view.offset <= c for p, c in zip(view.picture_wh, view.canvas_wh, strict=True))


def test_a_larger_min_face_works_at_a_smaller_size() -> None:
    areas = [np.prod(plan_views((4000, 3000), m, YUNET)[0].canvas_wh) for m in (40, 80, 160)]
    assert areas[0] > 3 * areas[1] > 9 * areas[2]


def test_adaptive_finds_a_32nd_of_the_height() -> None:
    view = plan_views((4000, 3200), ADAPTIVE, YUNET)[0]
    assert view.picture_wh[1] == pytest.approx(20 * 32, abs=1)


def test_a_small_image_is_looked_at_enlarged() -> None:
    assert plan_views((180, 90), 40, YUNET) == [View((360, 180), 0, (384, 192))]
    assert plan_views((300, 200), 40, YUNET)[0].picture_wh == (384, 256)


@pytest.mark.parametrize(
    "view",
    [View((50, 40), 0, (64, 64)), View((12, 9), 0, (32, 32)), View((200, 160), 16, (256, 224)), framed_view((100, 80))],
)
def test_points_return_to_where_they_were_drawn(view: View) -> None:
    """A bright spot drawn in an image is found, through the view, where it was."""
    image = np.zeros((80, 100, 3), np.uint8)
    spot = np.asarray([60, 30])
    image[spot[1] - 8 : spot[1] + 9, spot[0] - 8 : spot[0] + 9] = 255
    canvas, shown = render(image, view)
    assert canvas.shape == (view.canvas_wh[1], view.canvas_wh[0], 3)
    weights = canvas[..., 0].astype(np.float64)
    rows, columns = np.indices(weights.shape)
    center = np.asarray([(columns * weights).sum(), (rows * weights).sum()], np.float32) / np.float32(weights.sum())
    np.testing.assert_allclose(
        view.to_image(center, (100 * shown[0], 80 * shown[1])), spot, atol=0.15 * 100 / view.picture_wh[0]
    )


def test_rendering_leaves_black_around_the_picture() -> None:
    image = np.full((40, 50, 3), 200, np.uint8)
    canvas, _ = render(image, View((50, 40), 7, (64, 64)))
    assert (canvas[7:47, 7:57] == 200).all()
    assert canvas.sum() == 200 * 40 * 50 * 3


def test_reduced_pixels_give_the_same_canvas() -> None:
    rng = np.random.default_rng(0)
    smooth: FloatArray = np.kron(rng.uniform(0, 255, (30, 40, 3)), np.ones((16, 16, 1)))
    full = smooth.astype(np.uint8)
    half = full[::2, ::2]
    view = plan_views((640, 480), 200, YUNET)[0]
    assert np.abs(render(full, view)[0].astype(int) - render(half, view)[0]).mean() < 3
