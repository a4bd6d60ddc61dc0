from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_running import flat, run, small

import mien
from mien.cli.new_gallery import NewGallery
from mien.cli.options import Tuning
from mien.errors import BadGallery
from mien.galleries import Gallery
from mien.images.samples import Samples
from mien.types import Templates


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/people.db"


def test_detect_prints_what_the_library_finds(samples: Samples, tmp_path: Path) -> None:
    shown = run("detect", "--json", samples.group, flat(tmp_path / "flat.png"))
    assert shown.code == 0
    group, empty = shown.rows
    faces = mien.Recognizer().detect(samples.group)
    assert list(group) == ["image", "size_wh", "faces"]
    assert group["image"] == str(samples.group)
    assert group["size_wh"] == [1280, 886]
    assert len(group["faces"]) == len(faces) == 6
    for face, xyxy, score, landmarks in zip(group["faces"], faces.xyxy, faces.scores, faces.landmarks, strict=True):
        assert list(face) == ["xyxy", "score", "landmarks"]
        np.testing.assert_allclose(face["xyxy"], xyxy, atol=1e-3)
        np.testing.assert_allclose(face["score"], score, atol=1e-6)
        np.testing.assert_allclose(face["landmarks"], landmarks, atol=1e-3)
    assert empty == {"image": str(tmp_path / "flat.png"), "size_wh": [200, 200], "faces": []}
    assert len(run("detect", "--json", "--largest", samples.group).rows[0]["faces"]) == 1


def test_detect_for_people(samples: Samples, tmp_path: Path) -> None:
    shown = run("detect", samples.astronaut, flat(tmp_path / "[red]flat.png"))
    assert shown.code == 0
    assert "512×512" in shown.out
    assert "[red]flat.png" in shown.out
    assert "none" in shown.out


def test_settings_come_from_options_then_variables_then_the_file(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIEN_SETTINGS", raising=False)
    file = tmp_path / "mien.toml"
    file.write_text("min_score = 0.99\n")
    image = samples.astronaut
    assert run("detect", "--json", "--settings", file, image).rows[0]["faces"] == []
    assert "MIEN_SETTINGS" not in os.environ
    assert run("detect", "--json", "--settings", file, "--min-score", "0.5", image).rows[0]["faces"] != []
    monkeypatch.setenv("MIEN_MIN_SCORE", "0.5")
    assert run("detect", "--json", "--settings", file, image).rows[0]["faces"] != []


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--min-face", "0"), 2, "bad_settings"),
        (("--min-score", "7"), 2, "bad_settings"),
        (("--runtime", "abacus"), 2, "bad_settings"),
        (("--threads", "0"), 2, "bad_settings"),
        (("--batch", "0"), 2, "batch"),
        (("--precision", "f16"), 2, "precision"),
        (("--precision", "bf16"), 2, "openvino"),
        (("--settings", "absent.toml"), 2, "absent.toml"),
        (("--detector", "yunett"), 1, "did you mean yunet"),
        (("--embedder", "nobody"), 1, "model_not_found"),
        (("--no-such-option",), 2, "No such option"),
    ],
)
def test_settings_that_cannot_be(samples: Samples, options: tuple[str, ...], code: int, text: str) -> None:
    shown = run("detect", *options, samples.astronaut)
    assert shown.code == code
    assert text in shown.err
    assert "Traceback" not in shown.err


def test_precision_and_batch_change_no_face(samples: Samples) -> None:
    plain = run("detect", "--json", samples.group, samples.astronaut)
    assert run("detect", "--json", "--batch", "1", "--precision", "f32", samples.group, samples.astronaut) == plain


def test_every_setting_with_an_option_reaches_the_recognizer() -> None:
    given: dict[str, Any] = {
        "runtime": "openvino",
        "precision": "bf16",
        "threads": 3,
        "min_face": 50,
        "min_score": 0.7,
        "flip": True,
    }
    given |= {"detector": "yunet", "embedder": "dlib-resnet", "batch": 5}
    assert set(given) == {field.name for field in dataclasses.fields(Tuning)} - {"settings"}
    settings = Tuning(**given).recognizer().settings
    assert {name: getattr(settings, name) for name in given} == given


def test_verify(samples: Samples) -> None:
    same = run("verify", "--json", samples.obama[0], samples.obama[1])
    assert same.code == 0
    (row,) = same.rows
    verdict = mien.Recognizer().verify(samples.obama[0], samples.obama[1])
    assert list(row) == ["a", "b", "score", "match", "threshold", "probability", "space"]
    assert row["match"] is True
    assert row["probability"] == pytest.approx(verdict.probability, abs=1e-6)
    assert row["space"] == verdict.space
    assert row["score"] == pytest.approx(verdict.score, abs=1e-6)
    other = run("verify", "--json", samples.obama[0], samples.biden)
    assert (other.code, other.rows[0]["match"]) == (0, False)
    forced = run("verify", "--json", "--threshold", "-1", samples.obama[0], samples.biden)
    assert (forced.rows[0]["match"], forced.rows[0]["threshold"]) == (True, -1.0)
    assert "yes" in run("verify", samples.obama[0], samples.obama[1]).out


def test_verify_names_the_image_at_fault(samples: Samples, tmp_path: Path) -> None:
    blank = flat(tmp_path / "flat.png")
    for pair, fault, code in (
        ((blank, samples.biden), blank, "no_face"),
        ((samples.biden, samples.group), samples.group, "several_faces"),
        ((samples.biden, tmp_path), tmp_path, "bad_image"),
        ((samples.biden, tmp_path / "absent.jpg"), tmp_path / "absent.jpg", "bad_image"),
    ):
        shown = run("verify", "--json", *pair)
        (row,) = shown.rows
        assert shown.code == 1
        assert (row["a"], row["b"], row["image"]) == (str(pair[0]), str(pair[1]), str(fault))
        assert row["error"]["code"] == code
    assert run("verify", "--json", "--largest", samples.biden, samples.group).code == 0
    assert run("verify", "--json", "--threshold", "2", samples.biden, samples.biden).code == 2


def test_enroll_folders_and_identify(samples: Samples, url: str, tmp_path: Path) -> None:
    people = tmp_path / "people"
    small(samples.obama[0], people / "Barack Obama" / "a.jpg")
    small(samples.obama[1], people / "Barack Obama" / "old" / "b.JPG")
    (people / "Zoë").mkdir()
    shutil.copy(samples.astronaut, people / "Zoë" / "ü\n.png")
    shutil.copy(samples.group, people / "Zoë" / "z.jpg")
    (people / "Zoë" / "notes.txt").write_text("no image")
    (people / ".hidden").mkdir()
    (people / "nobody").mkdir()
    small(samples.biden, people / "stray.jpg")
    shown = run("enroll", "--json", people, "--gallery", url)
    assert shown.code == 1
    done = [row for row in shown.rows if "template_id" in row]
    assert all(list(row) == ["image", "identity", "template_id"] for row in done)
    assert [row["identity"] for row in done] == ["Barack Obama", "Barack Obama", "Zoë"]
    assert done[2]["image"] == str(people / "Zoë" / "ü\n.png")
    assert {row["image"]: row["error"]["code"] for row in shown.rows if "error" in row} == {
        str(people / "Zoë" / "z.jpg"): "several_faces",
        str(people / "nobody"): "bad_input",
        str(people / "stray.jpg"): "bad_input",
    }
    found = run("identify", "--json", "--gallery", url, "--top", "5", "--threshold", "-1", samples.obama[2])
    (face,) = found.rows[0]["faces"]
    assert list(face) == ["xyxy", "score", "candidates"]
    assert [c["identity"] for c in face["candidates"]] == ["Barack Obama", "Zoë"]
    assert list(face["candidates"][0]) == ["identity", "score", "rank", "template_id", "probability"]
    assert [c["rank"] for c in face["candidates"]] == [1, 2]
    strangers = run("identify", "--json", "--gallery", url, samples.group).rows[0]["faces"]
    assert [face["candidates"] for face in strangers] == [[]] * 6
    assert "nobody known" in run("identify", "--gallery", url, samples.group).out


def test_enroll_images_of_one_person(samples: Samples, url: str, tmp_path: Path) -> None:
    first = run("enroll", "--json", samples.biden, "--identity", " Joe ", "--gallery", url)
    assert first.rows == [{"image": str(samples.biden), "identity": "Joe", "template_id": 1}]
    assert run("enroll", "--json", samples.group, "--identity", "Ann", "--gallery", url).errors == ["several_faces"]
    assert run("enroll", "--json", "--largest", samples.group, "--identity", "Ann", "--gallery", url).code == 0
    assert "Joe" in run("enroll", samples.biden, "--identity", "Joe", "--gallery", url).out
    with mien.open_gallery(url) as gallery:
        assert gallery.identities() == [("Ann", 1), ("Joe", 2)]


def test_enroll_wrong_usage(samples: Samples, url: str, tmp_path: Path) -> None:
    no_name = run("enroll", samples.biden, "--gallery", url)
    assert no_name.code == 2
    assert "--identity" in no_name.err
    assert run("enroll", "--identity", " ", samples.biden, "--gallery", url).code == 2
    assert run("enroll", samples.biden, "--identity", "Joe").code == 2
    small(samples.biden, tmp_path / "flat" / "a.jpg")
    for folder in ("flat", "absent"):
        nobody = run("enroll", tmp_path / folder, "--gallery", url)
        assert nobody.code == 2
        assert "IMG..." in nobody.err
    assert not Path(url.removeprefix("sqlite:///")).exists()


def test_a_gallery_is_made_with_its_first_template(samples: Samples, url: str, tmp_path: Path) -> None:
    blank = flat(tmp_path / "flat.png")
    path = Path(url.removeprefix("sqlite:///"))

    def enroll(image: Path, where: str) -> list[str]:
        return run("enroll", "--json", image, "--identity", "Joe", "--gallery", where).errors

    assert enroll(blank, url) == ["no_face"]
    assert not list(tmp_path.glob("people.db*"))
    path.touch()
    assert enroll(blank, url) == ["no_face"]
    assert path.stat().st_size == 0
    assert enroll(samples.biden, url) == []
    assert enroll(blank, f"{url}?name=staff") == ["no_face"]
    with pytest.raises(BadGallery, match="staff"):
        mien.open_gallery(f"{url}?name=staff", create=False)
    assert enroll(samples.biden, f"{url}?name=staff") == []
    with mien.open_gallery(f"{url}?name=staff", create=False) as gallery:
        assert gallery.identities() == [("Joe", 1)]


def test_a_gallery_that_cannot_be_is_told_before_any_image(samples: Samples, url: str, tmp_path: Path) -> None:
    (tmp_path / "note.db").write_text("hello")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE notes (text)")
    before = sorted(tmp_path.iterdir())
    for where, code in (
        (f"sqlite:///{tmp_path}/note.db", "bad_gallery"),
        (f"sqlite:///{tmp_path}/other.db", "bad_gallery"),
        (f"sqlite:///{tmp_path}", "bad_gallery"),
        (f"sqlite:///{tmp_path}/absent/people.db", "bad_gallery"),
        (f"sqlite:///{tmp_path}/note.db/people.db", "bad_gallery"),
        (f"{url}?mode=ro", "gallery_error"),
        (f"{url}?nane=staff", "bad_gallery"),
        ("redis://there", "bad_gallery"),
    ):
        shown = run("enroll", "--json", samples.biden, "--identity", "Joe", "--gallery", where)
        assert (shown.code, shown.errors) == (1, [code]), where
        assert "image" not in shown.rows[0]
    assert sorted(tmp_path.iterdir()) == before


def test_a_new_gallery_is_none_until_something_is_stored(url: str) -> None:
    with NewGallery(mien.galleries.parse_url(url)) as gallery:
        assert isinstance(gallery, Gallery)
        assert (gallery.space, len(gallery), gallery.add_many([])) == (None, 0, [])
        with pytest.raises(BadGallery, match="no gallery"):
            gallery.identities()
        one = Templates.normalized([[1, 0]], "test@00000000")
        assert gallery.add("Ada", one)[0].template_id == 1
        assert (gallery.space, len(gallery), gallery.identities()) == ("test@00000000", 1, [("Ada", 1)])
        assert gallery.search(one)[0][0].identity == "Ada"
        assert gallery.templates("Ada")[0] == [1]
        gallery.remove_template(1)
    with mien.open_gallery(url, create=False) as kept:
        assert len(kept) == 0


def test_galleries_that_cannot_be_searched(samples: Samples, url: str, tmp_path: Path) -> None:
    def identify(gallery: str, *more: str) -> list[str]:
        shown = run("identify", "--json", samples.biden, "--gallery", gallery, *more)
        assert shown.code == 1
        assert len(shown.rows) == 1
        return shown.errors

    assert identify(url) == ["gallery_not_found"]
    assert not list(tmp_path.glob("*.db*"))
    (tmp_path / "note.db").write_text("hello")
    assert identify(f"sqlite:///{tmp_path}/note.db") == ["bad_gallery"]
    assert identify("redis://there") == ["bad_gallery"]
    assert run("enroll", samples.biden, "--identity", "Joe", "--gallery", url).code == 0
    assert identify(url, "--flip") == ["space_mismatch"]
    assert run("identify", "--json", samples.biden, "--gallery", url, "--top", "0").code == 2


def test_locked_gallery(samples: Samples, url: str) -> None:
    assert run("enroll", samples.biden, "--identity", "Joe", "--gallery", url).code == 0
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        shown = run("enroll", "--json", samples.biden, "--identity", "Joe", "--gallery", f"{url}?timeout_s=0.1")
    finally:
        other.close()
    assert (shown.code, shown.errors) == (1, ["gallery_locked"])


def test_annotated_images(samples: Samples, url: str, tmp_path: Path) -> None:
    run("enroll", samples.biden, "--identity", "Джо 拜登", "--gallery", url)
    folder = tmp_path / "in" / "sub"
    small(samples.biden, folder / "p.jpg")
    small(samples.biden, tmp_path / "p.jpg")
    saved = tmp_path / "out"
    shown = run("identify", "--gallery", url, "--save", saved, tmp_path / "in", tmp_path / "p.jpg", folder / "p.jpg")
    assert shown.code == 0
    assert sorted(p.relative_to(saved).as_posix() for p in saved.rglob("*.*")) == ["p-2.png", "p.png", "sub/p.png"]
    before, after = mien.load(folder / "p.jpg"), mien.load(saved / "p.png")
    assert before.shape == after.shape
    assert (before != after).any()
    blocked = run("detect", "--json", "--save", saved / "p.png", samples.biden)
    assert (blocked.code, blocked.errors) == (1, ["output_error"])
    assert run("detect", "--save", tmp_path / "d", samples.group).code == 0
    assert (tmp_path / "d" / "group.png").is_file()
