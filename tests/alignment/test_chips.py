from __future__ import annotations

import cv2
import numpy as np
import pytest

import mien
from mien.alignment import chip_matrices, cut_chips, needed_reduction
from mien.errors import BadInput
from mien.images import load
from mien.images.samples import Samples
from mien.types import FloatArray, ImageArray
from mien.zoo import card

SIZE = 112


def smooth_image(width: int, height: int) -> ImageArray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = [np.sin(x / width * 9 + k) * np.cos(y / height * 7 - k) for k in range(3)]
    return np.asarray((np.stack(waves, -1) + 1) * 127, np.uint8)


def matrix(scale: float, angle: float, center_x: float, center_y: float) -> FloatArray:
    """Takes (center_x, center_y) of the image to the chip's middle."""
    turn = scale * np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.asarray([SIZE / 2, SIZE / 2]) - turn @ np.asarray([center_x, center_y])
    return np.hstack([turn, shift[:, None]]).astype(np.float32)[None]


def sampled(image: ImageArray, m: FloatArray) -> FloatArray:
    """The slow way: each chip pixel's place in the image, read bilinearly in float."""
    inverse = cv2.invertAffineTransform(m)
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    places = np.stack([x, y, np.ones_like(x)], -1) @ inverse.T
    return np.asarray(
        cv2.remap(
            image.astype(np.float32),
            places.astype(np.float32)[..., 0],
            places.astype(np.float32)[..., 1],
            cv2.INTER_LINEAR,
        )
    )


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.6, 0.45, 0.2, 0.07])
@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_chips_show_what_the_matrix_says(scale: float, angle: float) -> None:
    image = smooth_image(2400, 1800)
    m = matrix(scale, angle, 1210, 905)
    chip = cut_chips(image, m, SIZE)[0].astype(np.float32)
    expected = sampled(image, m[0])
    inside = expected.sum(axis=2) > 0
    assert np.abs(chip - expected)[inside].mean() < 1.5


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_pixels_give_the_same_chip(reduction: int) -> None:
    image = smooth_image(2400, 1800)
    m = matrix(0.1, 0.3, 1200, 900)
    blocks = image.reshape(1800 // reduction, reduction, 2400 // reduction, reduction, 3)
    small = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    difference = np.abs(cut_chips(image, m, SIZE)[0].astype(int) - cut_chips(small, m, SIZE, reduction)[0])
    assert difference.max() <= 4
    assert difference.mean() < 1


def test_outside_the_image_is_black() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    chips = cut_chips(image, np.concatenate([matrix(1.0, 0, 0, 0), matrix(0.1, 0, 5000, 5000)]), SIZE)
    assert (chips[0, :50, :50] == 0).all()
    assert (chips[0, 60:, 60:] == 200).all()
    assert not chips[1].any()


def test_no_pixel_is_skipped_when_a_large_face_shrinks() -> None:
    """A fine checkerboard must come out gray, not as its own undersampling."""
    y, x = np.indices((1600, 1600))
    image = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    chip = cut_chips(image, matrix(0.13, 0.4, 800, 800), SIZE)[0]
    assert np.abs(chip[20:-20, 20:-20].astype(int) - 127).max() < 12


def test_needed_reduction_keeps_a_source_pixel_for_each_of_the_chip() -> None:
    steps = (1, 2, 4, 8)
    assert needed_reduction(matrix(1.0, 0, 0, 0), steps) == 1
    assert needed_reduction(matrix(0.5, 1, 0, 0), steps) == 2
    assert needed_reduction(matrix(0.3, 1, 0, 0), steps) == 4
    assert needed_reduction(matrix(0.4, 1, 0, 0), steps) == 2
    assert needed_reduction(matrix(0.01, 1, 0, 0), steps) == 8
    assert needed_reduction(matrix(0.01, 1, 0, 0), (1,)) == 1
    assert needed_reduction(np.concatenate([matrix(0.1, 0, 0, 0), matrix(0.7, 0, 0, 0)]), steps) == 1
    assert needed_reduction(np.empty((0, 2, 3), np.float32), steps) == 8


def test_landmarks_come_to_lie_on_the_reference(real: mien.Recognizer, samples: Samples) -> None:
    facts = card("sface").embedding
    assert facts is not None
    reference = np.asarray(facts.points, np.float32)
    faces = real.detect(samples.obama[0])
    m = chip_matrices(faces, reference)
    moved = faces.landmarks @ m[0, :, :2].T + m[0, :, 2]
    assert np.abs(moved[0] - reference).max() < 8
    chip = cut_chips(load(samples.obama[0]), m, SIZE)
    assert len(real.detect(chip[0])) == 1


def test_no_faces_no_chips_and_bad_images_refused() -> None:
    image = smooth_image(30, 30)
    assert cut_chips(image, np.empty((0, 2, 3), np.float32), SIZE).shape == (0, SIZE, SIZE, 3)
    with pytest.raises(BadInput, match="uint8 image"):
        cut_chips(image[..., 0], matrix(1, 0, 0, 0), SIZE)


def test_a_very_wide_image_can_be_cut() -> None:
    image = np.full((64, 34_000, 3), 90, np.uint8)
    image[20:40, 33_000:33_020] = 250
    chip = cut_chips(image, matrix(1.0, 0, 33_010, 30), SIZE)[0]
    assert (chip[50:60, 50:60] == 250).all()
