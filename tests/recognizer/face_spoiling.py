"""Good portraits made bad on purpose, each in one way."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from mien.types import FloatArray, ImageArray

Spoiler = Callable[[ImageArray, FloatArray], ImageArray]


def eye_distance(landmarks: FloatArray) -> float:
    return float(np.linalg.norm(landmarks[1] - landmarks[0]))


def darkened(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return np.asarray(image * 0.12, np.uint8)


def brightened(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return np.asarray(np.clip(image * 0.3 + 215, 0, 255), np.uint8)


def blurred(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.15 * eye_distance(landmarks)), np.uint8)


def shrunk(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    scale = 7 / eye_distance(landmarks)
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def compressed(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    scale = 60 / eye_distance(landmarks)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, 4))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def turned(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    """As if the photo were glued on a cylinder that is turned by 70 degrees."""
    radius, angle = 1.3 * eye_distance(landmarks), np.radians(70)
    height, width = image.shape[:2]
    middle = float(landmarks[:, 0].mean())
    x = np.arange(width, dtype=np.float32) - middle
    seen = np.arcsin(np.clip(x / radius, -1, 1)) - angle
    inside = (np.abs(x) < radius) & (np.abs(seen) < np.pi / 2)
    source = np.where(inside, radius * np.sin(seen), 1.6 * radius + np.abs(x)) + middle
    columns = np.tile(source.astype(np.float32), (height, 1))
    rows = np.tile(np.arange(height, dtype=np.float32)[:, None], (1, width))
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def leaned(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    height, width = image.shape[:2]
    x, y = landmarks.mean(axis=0).tolist()
    return np.asarray(cv2.warpAffine(image, cv2.getRotationMatrix2D((x, y), 40, 1), (width, height)), np.uint8)


def cropped_left(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return image[:, int(landmarks[:2, 0].mean() - 0.25 * eye_distance(landmarks)) :]


def cropped_right(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return image[:, : int(landmarks[:2, 0].mean() + 0.25 * eye_distance(landmarks))]


def cropped_above(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return image[int(landmarks[:2, 1].mean() - 0.15 * eye_distance(landmarks)) :]


def cropped_below(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    return image[: int(landmarks[:2, 1].mean() + 1.2 * eye_distance(landmarks))]


def doubled(image: ImageArray) -> ImageArray:
    """The portrait twice, side by side."""
    return np.concatenate([image, image[:, ::-1]], axis=1)
