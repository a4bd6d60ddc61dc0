"""All changes together: the same from the same generator, as often as stated, and only what was asked for."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from mien.errors import BadInput
from mien.training.augmentation import OPERATIONS, PRESETS, Augmentation, AugmentationSettings
from mien.training.augmentation.previewing import only, preview
from mien.types import FloatArray, ImageArray

ADAPTER = TypeAdapter(AugmentationSettings)


def settings(**values: Any) -> AugmentationSettings:
    return ADAPTER.validate_python({"preset": "none", **values})


def picture(side: int = 112, seed: int = 0) -> ImageArray:
    coarse = np.random.default_rng(seed).integers(40, 215, (9, 9, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def changed(how: AugmentationSettings, image: ImageArray, seed: int, landmarks: FloatArray | None = None) -> ImageArray:
    return Augmentation(how)(image, landmarks, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("side", [96, 112])
def test_presets_keep_shape_and_input(preset: str, side: int) -> None:
    image = picture(side)
    before = image.copy()
    augmentation = Augmentation(ADAPTER.validate_python({"preset": preset}))
    for seed in range(40):
        made, mirrored = augmentation(image, None, np.random.default_rng(seed))
        assert made.shape == image.shape
        assert made.dtype == np.uint8
        assert made.flags.c_contiguous
        assert isinstance(mirrored, bool)
        assert made is not image
        assert not np.shares_memory(made, image)
    assert (image == before).all()


def test_none_changes_nothing_and_flip_mirrors() -> None:
    image = picture()
    assert (changed(settings(), image, 0) == image).all()
    made, mirrored = Augmentation(settings(flip={"probability": 1.0}))(image, None, np.random.default_rng(0))
    assert mirrored
    assert (made == image[:, ::-1]).all()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_changes_images_the_same_way_for_the_same_generator(operation: str) -> None:
    image = picture()
    how = settings(**{operation: {"probability": 1.0}})
    first = [changed(how, image, seed) for seed in range(6)]
    assert sum((made != image).any() for made in first) >= 5
    assert all((made == changed(how, image, seed)).all() for seed, made in enumerate(first))
    assert any((made != first[0]).any() for made in first[1:]) or operation in ("flip", "gray")
    again = pickle.loads(pickle.dumps(Augmentation(how)))
    assert (again(image, None, np.random.default_rng(3))[0] == first[3]).all()


def test_probabilities_are_kept() -> None:
    image = picture(32)
    augmentation = Augmentation(settings(flip={"probability": 0.3}, gray={"probability": 0.2}))
    random = np.random.default_rng(0)
    results = [augmentation(image, None, random) for _ in range(2000)]
    flips = np.mean([mirrored for _, mirrored in results])
    grays = np.mean([(made[..., 0] == made[..., 1]).all() for made, _ in results])
    # Four standard errors of a share of 2,000.
    assert abs(flips - 0.3) < 0.042
    assert abs(grays - 0.2) < 0.036


def test_dark_glasses_are_worn_instead_of_others() -> None:
    image = picture()
    dark = {"probability": 1.0, "variety": 0.0}
    both = settings(sunglasses=dark, glasses={"probability": 1.0})
    # The draws are the same where only the probability of the other glasses differs, if that is not 0.
    seldom = settings(sunglasses=dark, glasses={"probability": 1e-9})
    assert (changed(both, image, 1) == changed(seldom, image, 1)).all()


def test_a_preset_gives_what_is_not_stated() -> None:
    made = ADAPTER.validate_python({"preset": "strong", "jpeg": {"probability": 0.9}})
    assert made.jpeg.probability == 0.9
    assert made.jpeg.lowest == PRESETS["strong"]["jpeg"]["lowest"]
    assert made.mask.probability == PRESETS["strong"]["mask"]["probability"]
    assert AugmentationSettings() == ADAPTER.validate_python({})
    assert AugmentationSettings().flip.probability == 0.5
    assert AugmentationSettings(preset="none").flip.probability == 0


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_settings_survive_tables(preset: str) -> None:
    made = ADAPTER.validate_python({"preset": preset, "hue": {"turn_deg": 33.0}})
    assert ADAPTER.validate_python(dataclasses.asdict(made)) == made


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"mosk": {"probability": 0.1}}, "mosk"),
        ({"mask": {"probabilty": 0.1}}, "mask.probabilty"),
        ({"mask": {"probability": 1.5}}, "mask.probability"),
        ({"mask": {"shapes": ["paper"]}}, "mask.shapes.0"),
        ({"mask": {"shapes": []}}, "mask.shapes"),
        ({"jpeg": {"lowest": 0}}, "jpeg.lowest"),
        ({"jpeg": 5}, "jpeg"),
        ({"preset": "weak"}, "preset"),
        ({"preset": ["none"]}, "preset"),
    ],
)
def test_unknown_or_wrong_settings_are_refused(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python({"preset": "none", **values})
    assert where in [".".join(str(part) for part in fault["loc"]) for fault in caught.value.errors()]


@pytest.mark.parametrize(
    ("image", "landmarks", "message"),
    [
        (
            np.zeros((112, 96, 3), np.uint8),
            None,
            r"image: expected uint8 of shape \(s, s, 3\), got uint8 of \(112, 96, 3\)",
        ),
        (np.zeros((112, 112), np.uint8), None, r"got uint8 of \(112, 112\)"),
        (np.zeros((112, 112, 3), np.float32), None, "got float32"),
        (
            np.zeros((8, 8, 3), np.uint8),
            np.zeros((5, 3), np.float32),
            r"landmarks: expected shape \(5, 2\), got \(5, 3\)",
        ),
    ],
)
def test_wrong_images_are_refused(image: Any, landmarks: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Augmentation(settings())(image, landmarks, np.random.default_rng(0))


def test_preview_shows_each_operation_by_itself() -> None:
    images = [picture(seed=k) for k in range(2)]
    columns = preview(images, [None, None], settings(gray={"probability": 0.25}, flip={"probability": 0.5}), together=1)
    assert [(c.title, c.probability) for c in columns] == [
        ("original", None),
        ("flip", 0.5),
        ("gray", 0.25),
        ("all", None),
    ]
    assert all((made == image[:, ::-1]).all() for made, image in zip(columns[1].images, images, strict=True))
    alone = only(AugmentationSettings(preset="strong"), "jpeg")
    assert [name for name in OPERATIONS if getattr(alone, name).probability] == ["jpeg"]
    assert alone.jpeg.lowest == PRESETS["strong"]["jpeg"]["lowest"]
