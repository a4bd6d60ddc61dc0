from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_running import flat, run
from PIL import Image

import mien
from mien.images.samples import Samples
from mien.quality import COMPONENTS


def dark(source: Path, path: Path) -> Path:
    Image.fromarray((mien.load(source) * 0.12).astype(np.uint8)).save(path)
    return path


def test_quality_of_each_face(samples: Samples, tmp_path: Path) -> None:
    shown = run("quality", "--json", samples.biden, samples.group, flat(tmp_path / "flat.png"), tmp_path / "none.jpg")
    assert shown.code == 1
    assert shown.errors == ["bad_image"]
    portrait, group, empty, _ = shown.rows
    (face,) = portrait["faces"]
    assert list(face) == ["xyxy", "score", "quality", "good_enough", "reasons", "measures", "components"]
    expected = mien.Recognizer().assess(samples.biden)
    assert face["quality"] == round(float(expected.unified[0]), 1)
    assert (face["good_enough"], face["reasons"]) == (True, [])
    assert list(face["measures"]) == list(face["components"]) == [component.name for component in COMPONENTS]
    assert len(group["faces"]) == 6
    assert empty["faces"] == []


def test_quality_says_why_not(samples: Samples, tmp_path: Path) -> None:
    photo = dark(samples.biden, tmp_path / "dark.png")
    (face,) = run("quality", "--json", photo).rows[0]["faces"]
    assert not face["good_enough"]
    assert face["reasons"][0]["name"] == "too_dark"
    assert face["reasons"][0]["value"] < face["reasons"][0]["limit"]
    (lenient,) = run("quality", "--json", "--quality", "off", photo).rows[0]["faces"]
    assert lenient["good_enough"]
    table = run("quality", photo)
    assert table.code == 0
    assert "too_dark" in table.out
    assert run("quality", "--quality", "stict", photo).code == 2


def test_several_faces_are_a_reason_as_they_are_for_enroll(samples: Samples) -> None:
    (shown,) = run("quality", "--json", samples.group).rows
    for face in shown["faces"]:
        assert not face["good_enough"]
        assert [reason["name"] for reason in face["reasons"]].count("several_faces") == 1
        assert 0 < face["reasons"][-1]["value"] <= 1
    (largest,) = run("quality", "--json", "--largest", samples.group).rows[0]["faces"]
    assert (largest["good_enough"], largest["reasons"]) == (True, [])
    (strict, *_) = run("quality", "--json", "--quality", "strict", samples.group).rows[0]["faces"]
    assert [reason["name"] for reason in strict["reasons"]].count("several_faces") == 1


def test_photos_are_looked_at_from_other_sides_unless_they_are_not_to_be(samples: Samples, tmp_path: Path) -> None:
    photo = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(np.rot90(mien.load(samples.biden)))).save(photo)

    def turns(*options: str) -> list[float]:
        return [
            face["measures"]["face_rotation"] for face in run("quality", "--json", *options, photo).rows[0]["faces"]
        ]

    assert turns() == turns("--upright") == [90]
    assert 90 not in turns("--no-upright")
    settings = tmp_path / "own.toml"
    settings.write_text('upright = false\nquality = "strict"\n')
    assert 90 not in turns("--settings", str(settings))
    assert turns("--settings", str(settings), "--upright") == [90]
    url = f"sqlite:///{tmp_path}/people.db"
    told = run("enroll", "--json", photo, "--identity", "Joe", "--gallery", url).rows[0]["error"]["message"]
    assert "rotated" in told
    assert "rotated" not in run("enroll", "--json", "--no-upright", photo, "--identity", "Joe", "--gallery", url).out


def test_enrolling_refuses_and_says_why(samples: Samples, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    photo = dark(samples.biden, tmp_path / "dark.png")
    refused = run("enroll", "--json", photo, samples.biden, "--identity", "Joe", "--gallery", url)
    assert refused.code == 1
    assert refused.errors == ["quality_refused"]
    assert "too_dark" in refused.rows[0]["error"]["message"]
    assert refused.rows[1]["template_id"] == 1
    taken = run("enroll", "--json", photo, "--identity", "Joe", "--gallery", url, "--quality", "off")
    assert (taken.code, taken.errors) == (0, [])
