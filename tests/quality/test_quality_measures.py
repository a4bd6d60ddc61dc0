from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.errors import BadInput
from mien.quality import COMPONENTS, CROP_POINTS, CROP_SIZE, FaceViews, MeasuredScorer, assess_faces, measure
from mien.quality.components import scored
from mien.quality.pixels import PIXEL_MEASURES, blockiness, crop_measures
from mien.types import Faces, FloatArray, ImageArray

IDENTITY = np.asarray([[1, 0, 0], [0, 1, 0]], np.float32)
SIZE = (CROP_SIZE, CROP_SIZE)


def of(crop: ImageArray, matrix: FloatArray = IDENTITY, size_wh: tuple[int, int] = SIZE) -> dict[str, float]:
    return dict(zip(PIXEL_MEASURES, crop_measures(crop, matrix, size_wh), strict=True))


def gray(level: int) -> ImageArray:
    return np.full((CROP_SIZE, CROP_SIZE, 3), level, np.uint8)


def noise(seed: int = 0) -> ImageArray:
    plane = np.random.default_rng(seed).integers(0, 256, SIZE).astype(np.uint8)
    return np.repeat(plane[..., None], 3, axis=2)


def views(image: ImageArray, *shifts: int) -> FaceViews:
    """Faces in an image at the crop's own scale, side by side."""
    landmarks = np.stack([CROP_POINTS + np.asarray([s, 0]) for s in shifts]).astype(np.float32)
    boxes = np.asarray([[40 + s, 40, 120 + s, 145] for s in shifts], np.float32)
    matrices = np.stack([np.asarray([[1, 0, -s], [0, 1, 0]], np.float32) for s in shifts])
    crops = np.stack([np.ascontiguousarray(image[:CROP_SIZE, s : s + CROP_SIZE]) for s in shifts])
    faces = Faces(boxes, np.full(len(shifts), 0.9, np.float32), landmarks)
    return FaceViews(image, 1, (image.shape[1], image.shape[0]), faces, crops, matrices)


def test_light_of_flat_and_of_random_crops() -> None:
    for level, under, over in ((10, 1, 0), (128, 0, 0), (250, 0, 1)):
        found = of(gray(level))
        assert found["luminance_mean"] == pytest.approx(level / 255, abs=1e-6)
        assert found["luminance_variance"] == pytest.approx(0, abs=1e-9)
        assert (found["under_exposure_prevention"], found["over_exposure_prevention"]) == (under, over)
        assert found["dynamic_range"] == pytest.approx(0)
        assert np.isnan(found["sharpness"])
    random = of(noise())
    assert random["luminance_mean"] == pytest.approx(0.5, abs=0.02)
    assert random["luminance_variance"] == pytest.approx(1 / 12, abs=0.01)
    assert random["dynamic_range"] > 7.8
    assert random["illumination_uniformity"] > 0.9


def test_light_from_a_side() -> None:
    lit = noise() // 4
    lit[:, CROP_SIZE // 2 :] += 180
    assert of(lit)["illumination_uniformity"] == 0


def test_contrast_does_not_move_sharpness_and_blur_does() -> None:
    image = cv2.GaussianBlur(noise(), (0, 0), 1.0)
    sharp = of(np.asarray(image, np.uint8))["sharpness"]
    flat = np.asarray(64 + image.astype(np.float32) / 2, np.uint8)
    assert of(flat)["sharpness"] == pytest.approx(sharp, abs=0.3)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.uint8)
    assert of(blurred)["sharpness"] < sharp - 3


def test_the_border_of_the_image_is_no_sharp_edge() -> None:
    """A blurred face that the image cuts through is as blurred as a whole one; black is what lies outside."""
    blurred = np.asarray(cv2.GaussianBlur(noise(), (0, 0), 5), np.uint8)
    whole = of(blurred)
    cut = blurred.copy()
    cut[:, :60] = 0
    shifted = np.asarray([[1, 0, 60], [0, 1, 0]], np.float32)
    assert of(cut, shifted, (CROP_SIZE - 60, CROP_SIZE))["sharpness"] == pytest.approx(whole["sharpness"], abs=2)
    cut[:, :115] = 0
    shifted[0, 2] = 115
    hardly = of(cut, shifted, (CROP_SIZE - 115, CROP_SIZE))
    assert np.isnan(hardly["illumination_uniformity"])


def test_color() -> None:
    skin = np.broadcast_to(np.asarray([200, 150, 125], np.uint8), (CROP_SIZE, CROP_SIZE, 3)).copy()
    assert of(skin)["natural_color"] == 0
    assert of(np.ascontiguousarray(skin[..., ::-1]))["natural_color"] > 10


def test_what_lies_outside_the_image_is_not_measured() -> None:
    half = noise()
    half[:, 80:] = 0  # black, as the crop of a face at the right border is
    inside = of(half, size_wh=(80, CROP_SIZE))
    assert inside["luminance_mean"] == pytest.approx(0.5, abs=0.03)
    assert of(half)["luminance_mean"] < 0.3
    assert np.isnan(inside["background_uniformity"]) or inside["background_uniformity"] > 0
    assert np.isnan(list(of(gray(0), size_wh=(2, 2)).values())).all()


def test_background() -> None:
    calm, restless = gray(90), gray(90)
    restless[:, :30] = noise()[:, :30]
    assert of(calm)["background_uniformity"] == pytest.approx(0)
    assert of(restless)["background_uniformity"] > 0.02


@pytest.mark.parametrize("corner", [(0, 0), (3, 5)])
def test_blocks_show_when_compressed_coarsely(corner: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3)).astype(np.uint8), (0, 0), 6)
    smooth = cv2.normalize(smooth, smooth.copy(), 0, 255, cv2.NORM_MINMAX)
    box = np.asarray([10, 10, 240, 240], np.float32)
    found = []
    for quality in (95, 30, 5):
        _, data = cv2.imencode(".jpg", smooth, (cv2.IMWRITE_JPEG_QUALITY, quality))
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[corner[1] :, corner[0] :]
        found.append(blockiness(np.ascontiguousarray(image), box, 1, 1))
    assert found == sorted(found)
    assert found[0] < 0.3
    assert found[2] > 1


def test_blocks_at_half_size_from_either_decoding() -> None:
    rng = np.random.default_rng(2)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (512, 512, 3)).astype(np.uint8), (0, 0), 12)
    smooth = cv2.normalize(smooth, smooth.copy(), 0, 255, cv2.NORM_MINMAX)
    _, data = cv2.imencode(".jpg", smooth, (cv2.IMWRITE_JPEG_QUALITY, 5))
    full = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    half = np.asarray(cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2), np.uint8)
    box = np.asarray([16, 16, 496, 496], np.float32)
    assert blockiness(half, box, 2, 2) == pytest.approx(blockiness(full, box, 1, 2), rel=0.2)
    assert np.isnan(blockiness(full, np.asarray([5, 5, 10, 10], np.float32), 1, 1))


def test_where_a_face_is() -> None:
    image = np.tile(noise(), (1, 3, 1))
    measured = measure(views(image, 0, 320))
    near, far = measured.column("leftward_crop")
    assert near < far
    np.testing.assert_allclose(measured.column("inter_eye_distance"), 37.8, rtol=0.15)
    np.testing.assert_allclose(measured.column("single_face_present"), 1)
    sides = measured.column("leftward_crop")[0] + measured.column("rightward_crop")[0]
    np.testing.assert_allclose(sides, 479 / measured.column("inter_eye_distance")[0], rtol=0.01)
    alone = measure(views(image, 0))
    assert alone.column("single_face_present")[0] == 0
    assert abs(alone.column("head_pose_yaw")[0]) < 3
    assert measure(views(image, 0), 90).column("face_rotation")[0] == 90


def test_scores_are_within_bounds_and_keep_what_was_not_measured() -> None:
    rng = np.random.default_rng(3)
    measures = np.asarray(rng.normal(0, 50, (200, len(COMPONENTS))), np.float32)
    measures[0] = np.nan
    scores = scored(measures)
    assert np.isnan(scores[0]).all()
    assert ((scores[1:] >= 0) & (scores[1:] <= 100)).all()
    assert len({component.name for component in COMPONENTS}) == len(COMPONENTS)


def test_the_unified_score() -> None:
    image = np.asarray(cv2.GaussianBlur(np.tile(noise(), (1, 3, 1)), (0, 0), 1.2), np.uint8)
    one = views(image, 160)
    quality = assess_faces(one, MeasuredScorer())
    assert 0 <= quality.unified[0] <= 100
    dark = assess_faces(views(image // 12, 160), MeasuredScorer())
    assert dark.unified[0] < quality.unified[0]
    unsure = Faces(one.faces.xyxy, np.asarray([0.7], np.float32), one.faces.landmarks)
    less = FaceViews(one.pixels, 1, one.size_wh, unsure, one.crops, one.matrices)
    assert assess_faces(less, MeasuredScorer()).unified[0] < quality.unified[0]
    without = [assess_faces(v, MeasuredScorer(confidence=False)).unified[0] for v in (one, less)]
    assert without[0] == without[1]


class Constant:
    def score(self, measured: object) -> FloatArray:
        return np.asarray([150.0], np.float32)


def test_another_scorer() -> None:
    assert assess_faces(views(np.tile(noise(), (1, 2, 1)), 0), Constant()).unified.tolist() == [100]


def test_views_that_do_not_fit() -> None:
    good = views(np.tile(noise(), (1, 2, 1)), 0)
    with pytest.raises(BadInput, match="crops"):
        FaceViews(good.pixels, 1, good.size_wh, good.faces, good.crops[:, :50], good.matrices)
