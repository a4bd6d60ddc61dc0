from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import mien
from mien.errors import BadInput, BadSettings
from mien.quality import COMPONENTS, PROFILES, QualityLimits, failings
from mien.types import Faces, Quality

NAMES = tuple(component.name for component in COMPONENTS)


def quality(unified: float = 90, **measures: float) -> Quality:
    row = np.full(len(NAMES), np.nan, np.float32)
    row[NAMES.index("face_rotation")] = 0
    for name, value in measures.items():
        row[NAMES.index(name)] = value
    face = Faces(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))
    return Quality(face, np.asarray([unified], np.float32), NAMES, row[None], np.full((1, len(NAMES)), np.nan))


def names(found: Quality, limits: QualityLimits) -> list[str]:
    return [reason.name for reason in failings(found, limits)[0]]


def test_what_was_not_measured_fails_nothing() -> None:
    assert names(quality(), QualityLimits()) == []
    assert names(quality(), QualityLimits(profile="strict")) == []


@pytest.mark.parametrize(
    ("measure", "value", "reason"),
    [
        ("luminance_mean", 0.01, "too_dark"),
        ("luminance_mean", 0.99, "too_bright"),
        ("sharpness", -40, "blurred"),
        ("inter_eye_distance", 3, "too_small"),
        ("head_pose_yaw", -80, "turned_away"),
        ("head_pose_yaw", 80, "turned_away"),
        ("head_pose_roll", -100, "leaning"),
        ("upward_crop", 0.1, "cropped"),
        ("face_rotation", 180, "rotated"),
    ],
)
def test_each_limit(measure: str, value: float, reason: str) -> None:
    found = quality(**{measure: value})
    assert names(found, QualityLimits()) == [reason]
    assert names(found, QualityLimits(profile="off")) == []
    (told,) = failings(found, QualityLimits())[0]
    assert reason in str(told)
    assert f"{value:.3g}" in str(told)


def test_a_limit_is_good_enough_itself() -> None:
    assert names(quality(head_pose_yaw=20), QualityLimits(profile="off", max_yaw=20)) == []
    assert names(quality(head_pose_yaw=-21), QualityLimits(profile="off", max_yaw=20)) == ["turned_away"]
    assert names(quality(unified=49), QualityLimits(profile="off", min_unified=50)) == ["poor"]


def test_correcting_rotation_refuses_no_rotation() -> None:
    assert names(quality(face_rotation=90), QualityLimits(correct_rotation=True)) == []


def test_strict_is_nowhere_laxer_than_default() -> None:
    for name, limit in PROFILES["default"].items():
        strict = PROFILES["strict"][name]
        assert strict >= limit if name.startswith("min") else strict <= limit, name


def test_profiles_and_tables_make_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mien.Settings().quality_limits() == QualityLimits()
    assert mien.Settings(quality="strict").quality_limits().min_eye_distance == 40
    assert not mien.Settings(quality="off").quality_limits().active
    own = mien.Settings(quality={"profile": "off", "max_yaw": 30}).quality_limits()
    assert (own.active, own.max_yaw, own.min_sharpness) == (True, 30, None)
    monkeypatch.setenv("MIEN_QUALITY", "strict")
    assert mien.Settings().quality_limits() == QualityLimits(profile="strict")
    monkeypatch.setenv("MIEN_QUALITY", '{"min_eye_distance": 60}')
    assert mien.Settings().quality_limits() == QualityLimits(min_eye_distance=60)
    monkeypatch.delenv("MIEN_QUALITY")
    file = tmp_path / "mien.toml"
    file.write_text('[quality]\nprofile = "strict"\nmin_eye_distance = 90\ncorrect_rotation = true\n')
    monkeypatch.setenv("MIEN_SETTINGS", str(file))
    read = mien.Settings().quality_limits()
    assert (read.profile, read.min_eye_distance, read.correct_rotation) == ("strict", 90, True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("stict", "quality.profile"),
        ({"max_jaw": 3}, "quality.max_jaw: no such setting"),
        (3, "quality"),
        ({"max_yaw": -1}, "max_yaw"),
    ],
)
def test_settings_that_cannot_be(given: object, told: str) -> None:
    with pytest.raises(BadSettings, match=told):
        mien.Settings(quality=given)


def test_limits_are_checked() -> None:
    with pytest.raises(ValidationError):
        QualityLimits(max_yaw=400)


def test_quality_checks_itself() -> None:
    one = quality()
    with pytest.raises(BadInput, match="measures"):
        Quality(one.faces, one.unified, NAMES, one.measures[:, :2], one.components)
    with pytest.raises(BadInput, match=r"0\.\.100"):
        Quality(one.faces, np.asarray([101], np.float32), NAMES, one.measures, one.components)
