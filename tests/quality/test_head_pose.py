from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from mien.errors import BadInput
from mien.quality import head_pose
from mien.quality.pose import _MODEL
from mien.types import FloatArray, ImageArray


def seen(yaw: float, pitch: float, roll: float, scale: float = 30.0) -> FloatArray:
    """The model's landmarks as a camera far away sees them: x to the right, y down, z to the camera."""
    a, b, c = np.radians([yaw, pitch, -roll])
    turn_y = np.asarray([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.asarray([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    turn_z = np.asarray([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    points = np.asarray(_MODEL) @ (turn_z @ turn_x @ turn_y).T
    return np.asarray(points[:, :2] * scale + (100, 80), np.float32)


@pytest.mark.parametrize("yaw", [-50, -20, 0, 35])
@pytest.mark.parametrize("pitch", [-15, 0, 20])
@pytest.mark.parametrize("roll", [-150, -20, 0, 90])
def test_the_pose_of_a_drawn_head(yaw: float, pitch: float, roll: float) -> None:
    pose = head_pose(seen(yaw, pitch, roll)[None])
    # The fit leans a little to the frontal pose, the more the further from it.
    assert abs(pose.yaw_deg[0] - yaw) < 4
    assert abs(pose.pitch_deg[0] - pitch) < 4
    assert abs((pose.roll_deg[0] - roll + 180) % 360 - 180) < 2
    np.testing.assert_allclose(pose.eye_distance, 60, rtol=0.05)
    assert pose.residual[0] < 0.02


def test_signs() -> None:
    right = head_pose(seen(30, 0, 0)[None])
    nose = seen(30, 0, 0)
    assert nose[2, 0] > nose[:2, 0].mean()
    assert right.yaw_deg[0] > 0
    down = seen(0, 20, 0)
    assert down[2, 1] > seen(0, 0, 0)[2, 1]
    assert head_pose(down[None]).pitch_deg[0] > 0
    leaning = seen(0, 0, 20)
    assert leaning[0, 1] > leaning[1, 1]  # the eye on the left is the lower one
    assert head_pose(leaning[None]).roll_deg[0] > 0


def test_many_faces_are_as_one_by_one() -> None:
    points = np.stack([seen(y, p, r) for y in (-30, 0, 40) for p in (-10, 5) for r in (0, 30)])
    together = head_pose(points)
    for k, one in enumerate(points):
        np.testing.assert_allclose(head_pose(one[None]).yaw_deg[0], together.yaw_deg[k], atol=1e-4)


def test_shapes_and_points_that_coincide() -> None:
    assert head_pose(np.empty((0, 5, 2), np.float32)).yaw_deg.shape == (0,)
    with pytest.raises(BadInput, match=r"\(n, 5, 2\)"):
        head_pose(np.zeros((5, 2), np.float32))
    nothing = head_pose(np.ones((1, 5, 2), np.float32))
    assert np.isfinite([nothing.yaw_deg, nothing.pitch_deg, nothing.roll_deg, nothing.residual]).all()


def shown_to_the_network(image: ImageArray, xyxy: FloatArray) -> FloatArray:
    """The network takes the box with three tenths more on each side, 64 by 64, blue first."""
    left, top, right, bottom = xyxy.astype(float)
    width, height = right - left, bottom - top
    x, y = left - 0.3 * width, top - 0.3 * height
    across, down = 64 / (1.6 * width), 64 / (1.6 * height)
    matrix = np.asarray([[across, 0, -x * across], [0, down, -y * down]])
    crop = cv2.warpAffine(image, matrix, (64, 64), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    scaled = (np.asarray(crop, np.float32)[..., ::-1] - 127.5) / 128
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


@pytest.mark.data
def test_as_a_head_pose_network_says(real: mien.Recognizer, data_root: Path) -> None:
    import onnxruntime

    file = data_root.parent / "models" / "fsanet_var.onnx"
    if not file.is_file():
        pytest.skip(f"needs the head pose network: no {file}")
    network = onnxruntime.InferenceSession(str(file))
    photos = sorted((data_root / "people").rglob("*.jpg"))[::20]
    differences = []
    for photo in photos:
        image = mien.load(photo)
        faces = real.detect(image, largest=True)
        if len(faces) == 0:
            continue
        pose = head_pose(faces.landmarks)
        yaw, pitch, roll = network.run(None, {"input": shown_to_the_network(image, faces.xyxy[0])})[0][0]
        differences.append((pose.yaw_deg[0] + yaw, pose.pitch_deg[0] + pitch, pose.roll_deg[0] + roll))
    assert len(differences) > 90
    assert (np.abs(differences).mean(axis=0) < 8).all()
