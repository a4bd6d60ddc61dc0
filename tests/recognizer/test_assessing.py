from __future__ import annotations

from pathlib import Path

import face_spoiling as spoil
import numpy as np
import pytest

import mien
from mien.errors import BadInput, NoFace, QualityRefused, SeveralFaces
from mien.images.samples import Samples
from mien.quality import COMPONENTS, QualityLimits, failings
from mien.types import FloatArray, ImageArray

DEFAULT = QualityLimits()
Portrait = tuple[ImageArray, FloatArray]


@pytest.fixture(scope="module")
def portraits(samples: Samples, real: mien.Recognizer) -> dict[str, Portrait]:
    found = {}
    for path in (samples.biden, samples.obama[1]):
        image = mien.load(path)
        found[path.stem] = (image, real.detect(image, largest=True).landmarks[0])
    return found


def reasons_of(real: mien.Recognizer, image: ImageArray, limits: QualityLimits = DEFAULT) -> set[str]:
    quality = real.assess(np.ascontiguousarray(image), largest=True)
    assert len(quality) == 1
    return {reason.name for reason in failings(quality, limits)[0]}


def test_good_portraits_fail_nothing(real: mien.Recognizer, samples: Samples) -> None:
    for path in (*samples.obama, *samples.obama_partial, samples.biden, samples.astronaut):
        quality = real.assess(path)
        assert quality.unified[0] > 85
        assert failings(quality, DEFAULT) == [()]


@pytest.mark.parametrize(
    ("name", "spoiler", "reason"),
    [
        ("biden", spoil.darkened, "too_dark"),
        ("biden", spoil.brightened, "too_bright"),
        ("biden", spoil.blurred, "blurred"),
        ("biden", spoil.shrunk, "too_small"),
        ("biden", spoil.compressed, "compressed"),
        ("biden", spoil.turned, "turned_away"),
        ("biden", spoil.cropped_left, "cropped"),
        ("biden", spoil.cropped_right, "cropped"),
        ("biden", spoil.cropped_above, "cropped"),
        ("biden", spoil.cropped_below, "cropped"),
        ("obama2", spoil.darkened, "too_dark"),
        ("obama2", spoil.brightened, "too_bright"),
        ("obama2", spoil.blurred, "blurred"),
        ("obama2", spoil.shrunk, "too_small"),
        ("obama2", spoil.compressed, "compressed"),
        ("obama2", spoil.cropped_left, "cropped"),
        ("obama2", spoil.cropped_right, "cropped"),
        ("obama2", spoil.cropped_above, "cropped"),
        ("obama2", spoil.cropped_below, "cropped"),
    ],
)
def test_a_portrait_made_bad_is_refused_for_that(
    real: mien.Recognizer, portraits: dict[str, Portrait], name: str, spoiler: spoil.Spoiler, reason: str
) -> None:
    image, landmarks = portraits[name]
    bad = np.ascontiguousarray(spoiler(image, landmarks))
    assert reason in reasons_of(real, bad)
    with mien.open_gallery("memory:") as gallery:
        with pytest.raises(QualityRefused, match=reason) as refused:
            real.enroll(gallery, "Ada", bad, face="largest")
        assert reason in {r.name for r in refused.value.reasons}
        assert len(gallery) == 0


def test_a_leaning_head_is_refused_by_the_strict_profile(real: mien.Recognizer, portraits: dict[str, Portrait]) -> None:
    bad = spoil.leaned(*portraits["obama2"])
    assert reasons_of(real, bad, QualityLimits(profile="strict")) >= {"leaning"}
    assert reasons_of(real, portraits["obama2"][0], QualityLimits(profile="strict")) == set()


def test_a_blurred_face_is_the_worse_the_more(real: mien.Recognizer, portraits: dict[str, Portrait]) -> None:
    import cv2

    image, landmarks = portraits["biden"]
    distance = spoil.eye_distance(landmarks)
    images = [image, *(np.asarray(cv2.GaussianBlur(image, (0, 0), s * distance), np.uint8) for s in (0.03, 0.08, 0.2))]
    found = real.assess(images, largest=True)
    sharpness = [float(q.measure("sharpness")[0]) for q in found]
    unified = [float(q.unified[0]) for q in found]
    assert sharpness == sorted(sharpness, reverse=True)
    assert unified == sorted(unified, reverse=True)


def test_two_faces(real: mien.Recognizer, portraits: dict[str, Portrait]) -> None:
    both = np.ascontiguousarray(spoil.doubled(portraits["biden"][0]))
    assert len(real.detect(both)) == 2
    assert "several_faces" in reasons_of_first(real, both)
    with mien.open_gallery("memory:") as gallery:
        with pytest.raises(SeveralFaces):
            real.enroll(gallery, "Joe", both)
        real.enroll(gallery, "Joe", both, face="largest")
        strict = mien.Recognizer(mien.Settings(quality="strict"))
        with pytest.raises(QualityRefused, match="several_faces"):
            strict.enroll(gallery, "Joe", both, face="largest")


def reasons_of_first(real: mien.Recognizer, image: ImageArray) -> set[str]:
    return {reason.name for reason in failings(real.assess(image), QualityLimits(profile="strict"))[0]}


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_that_is_not_upright(real: mien.Recognizer, samples: Samples, quarters: int) -> None:
    upright = mien.load(samples.obama[0])
    turned = np.ascontiguousarray(np.rot90(upright, quarters))
    straight, found = real.assess(upright), real.assess(turned)
    assert found.measure("face_rotation").tolist() == [90 * quarters]
    other = [n for n in found.names if n != "face_rotation"]
    for name in other:
        np.testing.assert_allclose(found.measure(name), straight.measure(name), rtol=0.02, atol=0.02, err_msg=name)
    # Boxes are those of the photo as it lies.
    height, width = turned.shape[:2]
    assert (found.faces.xyxy[0] >= 0).all()
    assert found.faces.xyxy[0, 2] <= width
    assert found.faces.xyxy[0, 3] <= height
    with mien.open_gallery("memory:") as gallery:
        with pytest.raises(QualityRefused, match="rotated"):
            real.enroll(gallery, "Ada", turned)
        correcting = mien.Recognizer(mien.Settings(quality=QualityLimits(correct_rotation=True)))
        correcting.enroll(gallery, "Ada", turned)
        _, templates = gallery.templates("Ada")
    expected = real.analyze(upright).templates
    assert float(templates.vectors[0] @ expected.vectors[0]) > 0.99


def test_analyze_takes_quality_along(real: mien.Recognizer, samples: Samples) -> None:
    plain, with_quality = real.analyze(samples.group), real.analyze(samples.group, quality=True)
    assert plain.quality is None
    assert with_quality.quality is not None
    np.testing.assert_array_equal(plain.templates.vectors, with_quality.templates.vectors)
    np.testing.assert_array_equal(with_quality.quality.unified, real.assess(samples.group).unified)
    second = with_quality[1]
    assert second.quality is not None
    assert second.quality.unified.tolist() == [with_quality.quality.unified[1]]


def test_a_batch_equals_one_by_one(real: mien.Recognizer, sample_photos: list[Path]) -> None:
    single = [real.assess(path) for path in sample_photos]
    batch = real.assess(sample_photos)
    for a, b in zip(single, batch, strict=True):
        np.testing.assert_allclose(a.unified, b.unified, atol=1e-3)
        np.testing.assert_allclose(a.measures, b.measures, atol=1e-3)
    assert isinstance(real.assess([sample_photos[0]]), list)
    assert real.assess([]) == []
    assert type(real.assess(b"no image", errors="return")).__name__ == "BadImage"


def test_no_face(real: mien.Recognizer) -> None:
    gray = np.full((300, 200, 3), 120, np.uint8)
    quality = real.assess(gray)
    assert len(quality) == 0
    assert quality.measures.shape == quality.components.shape == (0, len(COMPONENTS))
    assert failings(quality, DEFAULT) == []
    with mien.open_gallery("memory:") as gallery, pytest.raises(NoFace):
        real.enroll(gallery, "Ada", gray)


def test_limits_of_ones_own(real: mien.Recognizer, samples: Samples) -> None:
    picky = mien.Recognizer(mien.Settings(quality=QualityLimits(min_eye_distance=1000)))
    with mien.open_gallery("memory:") as gallery:
        with pytest.raises(QualityRefused, match="too_small") as refused:
            picky.enroll(gallery, "Joe", samples.biden)
        (reason,) = refused.value.reasons
        assert (reason.measure, reason.limit, reason.unit, reason.lowest) == (
            "inter_eye_distance",
            1000,
            "pixels",
            True,
        )
        outcomes = picky.enroll(gallery, "Joe", [samples.biden, samples.biden], errors="return")
        assert [getattr(o, "code", None) for o in outcomes] == ["quality_refused"] * 2
        off = mien.Recognizer(mien.Settings(quality="off"))
        dark = (mien.load(samples.biden) * 0.12).astype(np.uint8)
        off.enroll(gallery, "Joe", dark)
        assert len(gallery) == 1


def test_portraits_are_kept_of_good_faces_only(real: mien.Recognizer, samples: Samples) -> None:
    with mien.open_gallery("memory:?portraits=yes") as gallery:
        dark = (mien.load(samples.biden) * 0.12).astype(np.uint8)
        with pytest.raises(QualityRefused):
            real.enroll(gallery, "Joe", dark)
        real.enroll(gallery, "Joe", samples.biden)
        assert len(gallery) == 1


def test_measures_by_name(real: mien.Recognizer, samples: Samples) -> None:
    quality = real.assess(samples.biden)
    assert quality.names == tuple(component.name for component in COMPONENTS)
    assert 0 <= quality.component("sharpness")[0] <= 100
    with pytest.raises(BadInput, match="sharpnes"):
        quality.measure("sharpnes")


def test_a_large_photo_is_measured_at_the_scale_of_a_small_one(
    real: mien.Recognizer, samples: Samples, tmp_path: Path
) -> None:
    """A JPEG is decoded at a quarter where faces are large; the measures are those of the pixels at full size."""
    import cv2

    image = mien.load(samples.obama[0])
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    file = tmp_path / "large.jpg"
    cv2.imwrite(str(file), large[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))
    reduced, full = real.assess(file), real.assess(mien.load(file))
    for name in ("sharpness", "luminance_mean", "luminance_variance", "dynamic_range", "natural_color"):
        np.testing.assert_allclose(reduced.measure(name), full.measure(name), rtol=0.05, atol=0.05, err_msg=name)
    assert np.isnan(reduced.measure("compression_artifacts")).all()
    assert np.isnan(full.measure("compression_artifacts")).all()
