from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.detection import (
    DetectorOptions,
    NetworkDetector,
    Preprocessing,
    Range,
    ScrfdHead,
    YuNetHead,
    make_detector,
    plan_views,
)
from mien.errors import BadCard, BadInput, BadSettings
from mien.geometry import box_iou
from mien.images import load
from mien.images.samples import Samples
from mien.runtimes import RuntimeOptions, load_network
from mien.testing import FakeNetwork
from mien.types import Faces, FloatArray, ImageArray
from mien.zoo import card, resolve

WIDE = Range(20, 10_000)


def yunet(options: DetectorOptions = DetectorOptions(), found: Range = WIDE) -> NetworkDetector:  # noqa: B008
    network = load_network(resolve(card("yunet")), RuntimeOptions())
    return NetworkDetector(network, YuNetHead(), Preprocessing(bgr=True), found, options)


def opencv_faces(image: ImageArray, options: DetectorOptions, model: Path) -> Faces:
    """OpenCV's own YuNet at the image's native size."""
    try:
        theirs = cv2.FaceDetectorYN.create(
            str(model), "", (image.shape[1], image.shape[0]), options.min_score, options.max_overlap
        )
    except (AttributeError, cv2.error) as error:
        pytest.skip(f"this OpenCV cannot load YuNet: {str(error).splitlines()[0]}")
    _, rows = theirs.detect(np.ascontiguousarray(image[..., ::-1]))
    if rows is None:
        return Faces.none()
    rows = np.asarray(rows, np.float32)
    boxes = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
    return Faces(boxes, np.clip(rows[:, 14], 0, 1), rows[:, 4:14].reshape(-1, 5, 2).astype(np.float32))


def assert_same_faces(ours: Faces, theirs: Faces, pixels: float) -> None:
    assert len(ours) == len(theirs)
    if not len(ours):
        return
    order = np.abs(theirs.xyxy[:, None] - ours.xyxy[None]).max(axis=2).argmin(axis=1)
    assert len(set(order.tolist())) == len(ours)
    np.testing.assert_allclose(ours.xyxy[order], theirs.xyxy, atol=pixels)
    np.testing.assert_allclose(ours.landmarks[order], theirs.landmarks, atol=pixels)
    np.testing.assert_allclose(ours.scores[order], theirs.scores, atol=1e-3)


def test_yunet_equals_opencv(sample_photos: list[Path]) -> None:
    options = DetectorOptions(min_face=20, min_score=0.7)
    detector = yunet(options)
    model = resolve(card("yunet"))
    faces = 0
    for photo in sample_photos:
        full = load(photo)
        size = (640, round(full.shape[0] * 640 / full.shape[1]))
        image = np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA), np.uint8)
        ours = detector.detect([image])[0]
        assert_same_faces(ours, opencv_faces(image, options, model), 1.0)
        faces += len(ours)
    assert faces >= 12


@pytest.mark.data
def test_yunet_equals_opencv_on_the_measuring_photos(data_root: Path) -> None:
    """Every box that either finds, before suppression: OpenCV suppresses by boxes rounded to whole pixels."""
    options = DetectorOptions(min_face=20, min_score=0.7, max_overlap=1.0)
    detector = yunet(options)
    model = resolve(card("yunet"))
    images = [load(photo) for photo in sorted((data_root / "photos" / "groups").iterdir())[:12]]
    for image in [i for i in images if max(i.shape) >= 512]:
        assert plan_views((image.shape[1], image.shape[0]), 20, WIDE)[0].picture_wh == image.shape[1::-1]
        assert_same_faces(detector.detect([image])[0], opencv_faces(image, options, model), 1.0)


def plain_scrfd(model: Path, image: ImageArray, min_score: float) -> tuple[FloatArray, FloatArray]:
    """SCRFD by a plain script: one image, loops, no mien code."""
    import onnxruntime

    height, width = (-(-side // 32) * 32 for side in image.shape[:2])
    canvas = np.zeros((height, width, 3), np.float32)
    canvas[: image.shape[0], : image.shape[1]] = image
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    blob = ((canvas - 127.5) / 128).transpose(2, 0, 1)[None].astype(np.float32)
    outputs = dict(zip(names, session.run(None, {session.get_inputs()[0].name: blob}), strict=True))
    boxes, scores = [], []
    for stride in (8, 16, 32):
        score, box = outputs[f"score_{stride}"].reshape(-1), outputs[f"bbox_{stride}"].reshape(-1, 4) * stride
        k = 0
        for y in range(height // stride):
            for x in range(width // stride):
                for _ in range(2):
                    if score[k] >= min_score:
                        left, top, right, bottom = box[k]
                        boxes.append([x * stride - left, y * stride - top, x * stride + right, y * stride + bottom])
                        scores.append(score[k])
                    k += 1
    kept: list[int] = []
    for k in np.argsort(-np.asarray(scores), kind="stable"):
        a = np.asarray(boxes[k], np.float32)
        if all(box_iou(a[None], np.asarray([boxes[j]], np.float32))[0, 0] <= 0.4 for j in kept):
            kept.append(int(k))
    return np.asarray(boxes, np.float32)[kept], np.asarray(scores, np.float32)[kept]


@pytest.mark.data
def test_scrfd_equals_a_plain_script(data_root: Path, samples: Samples, tmp_path: Path) -> None:
    from mien.zoo.converters import CONVERTERS

    model = data_root.parent / "models" / "scrfd_500m_bnkps.onnx"
    CONVERTERS["fold"].convert(model, tmp_path / "scrfd.onnx")
    network = load_network(tmp_path / "scrfd.onnx", RuntimeOptions())
    preprocessing = Preprocessing(mean=(127.5, 127.5, 127.5), scale=1 / 128)
    options = DetectorOptions(min_face=20, min_score=0.5, max_overlap=0.4)
    detector = NetworkDetector(network, ScrfdHead(), preprocessing, WIDE, options)
    image = np.zeros((640, 640, 3), np.uint8)  # the one size that the file as it stands can take
    image[:448] = cv2.resize(load(samples.group), (640, 448))
    boxes, scores = plain_scrfd(model, image, 0.5)
    ours = detector.detect([image])[0]
    assert len(ours) == len(boxes) >= 6
    np.testing.assert_allclose(ours.xyxy, boxes, atol=1e-2)
    np.testing.assert_allclose(ours.scores, scores, atol=1e-4)


def test_batches_of_mixed_sizes_equal_single_images(sample_photos: list[Path]) -> None:
    detector = make_detector(
        card("yunet"), load_network(resolve(card("yunet")), RuntimeOptions()), DetectorOptions(min_face=60)
    )
    images = [load(p) for p in sample_photos[-3:]]
    images += [images[0][:200, :200], images[1][::2, ::2], np.zeros((5, 7, 3), np.uint8), images[0]]
    alone = [detector.detect([i])[0] for i in images]
    for order in (range(len(images)), range(len(images) - 1, -1, -1)):
        for k, faces in zip(order, detector.detect([images[k] for k in order]), strict=True):
            np.testing.assert_allclose(faces.xyxy, alone[k].xyxy, atol=0.01)
            np.testing.assert_allclose(faces.landmarks, alone[k].landmarks, atol=0.01)


def test_a_face_that_fills_the_frame_is_found(samples: Samples) -> None:
    detector = make_detector(card("yunet"), load_network(resolve(card("yunet")), RuntimeOptions()), DetectorOptions())
    image = load(samples.biden)
    left, top, right, bottom = np.clip(detector.detect([image])[0].largest().xyxy[0], 0, None).astype(int)
    for side in (60, 200, 800):
        crop = np.asarray(cv2.resize(image[top:bottom, left:right], (side, side)), np.uint8)
        faces = detector.detect([crop])[0]
        assert len(faces) >= 1
        assert faces.largest().areas[0] > 0.5 * side * side


@pytest.mark.parametrize("side", [40, 80, 160, 320, 640, 1200])
def test_faces_of_every_size_are_found_adaptively(samples: Samples, side: int) -> None:
    """The same portrait, its face from a 32nd of the image's height to all of it, on a gray wall."""
    detector = make_detector(
        card("yunet"), load_network(resolve(card("yunet")), RuntimeOptions()), DetectorOptions(min_face=-1)
    )
    portrait = load(samples.astronaut)
    face = detector.detect([portrait])[0].largest()
    scale = side / (face.xyxy[0, 3] - face.xyxy[0, 1])
    shrunk = cv2.resize(
        portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    top, left = (max(0, int(v * scale) - 640 + side // 2) for v in (face.xyxy[0, 1], face.xyxy[0, 0]))
    part = shrunk[top : top + 1280, left : left + 1280]
    wall = np.full((1280, 1280, 3), 128, np.uint8)
    wall[: part.shape[0], : part.shape[1]] = part
    heights = [b - t for _, t, _, b in detector.detect([wall])[0].xyxy]
    assert any(abs(h - side) < 0.35 * side for h in heights), heights


def test_an_image_of_nothing_has_no_faces() -> None:
    detector = make_detector(card("yunet"), load_network(resolve(card("yunet")), RuntimeOptions()), DetectorOptions())
    for shape in ((1, 1, 3), (400, 600, 3), (3, 900, 3)):
        assert len(detector.detect([np.full(shape, 90, np.uint8)])[0]) == 0
    assert detector.detect([]) == []


def test_bad_images_and_sizes_are_refused() -> None:
    detector = NetworkDetector(FakeNetwork(lambda b: []), YuNetHead(), Preprocessing(), WIDE, DetectorOptions())
    for bad in (
        np.zeros((4, 4)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(BadInput, match="expected uint8 images"):
            detector.detect([bad])  # type: ignore[list-item]
    with pytest.raises(BadInput, match="a size an image"):
        detector.detect([np.zeros((4, 4, 3), np.uint8)], [])


def test_outputs_of_another_network_are_refused() -> None:
    wrong = FakeNetwork(lambda b: [np.zeros((len(b), 10, 4), np.float32)], ("boxes",))
    for head in (YuNetHead(), ScrfdHead()):
        detector = NetworkDetector(wrong, head, Preprocessing(), WIDE, DetectorOptions())
        with pytest.raises(BadCard, match="expected"):
            detector.detect([np.zeros((64, 64, 3), np.uint8)])
    with pytest.raises(BadCard, match="expected a detector"):
        make_detector(card("sface"), wrong, DetectorOptions())


@pytest.mark.parametrize("options", [{"min_face": 0}, {"min_face": -2}, {"min_score": 0.0}, {"max_overlap": 1.5}])
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(BadSettings, match=next(iter(options))):
        DetectorOptions(**options)  # type: ignore[arg-type]


def test_preprocessing_by_hand() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    batch = Preprocessing(bgr=True, mean=(1.0, 2.0, 3.0), scale=0.5).batch([image, image])
    expected = (image[..., ::-1].astype(np.float32) - [1, 2, 3]) * 0.5
    np.testing.assert_allclose(batch[1], expected.transpose(2, 0, 1))
