"""``mien train classifier`` and ``mien classify``."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_running import flat, run, small
from PIL import Image

import mien
from mien.images.samples import Samples
from mien.matching.classifier import Classifier


@pytest.fixture(scope="module")
def people(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of one, one of two others, one of a fourth without a face, and a file that is no image."""
    root = tmp_path_factory.mktemp("people")
    for number, photo in enumerate(samples.obama[:2]):
        small(photo, root / "Barack" / f"{number}.jpg")
    small(samples.biden, root / "Joe" / "a.jpg")
    small(samples.astronaut, root / "Eileen" / "a.jpg")
    (root / "Nobody").mkdir()
    flat(root / "Nobody" / "wall.jpg")
    return root


@pytest.fixture(scope="module")
def trained(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier") / "people.npz"
    shown = run("train", "classifier", people, "--out", out)
    assert shown.code == 0, shown.err
    return out


def test_training_tells_what_it_did(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.npz"
    shown = run("train", "classifier", people, "--out", out, "--json", "--data", "a test")
    assert shown.code == 0
    (record,) = shown.rows
    assert (record["method"], record["images"], record["failures"]) == ("logistic", 5, {"no_face": 1})
    assert record["people_without_a_face"] == ["Nobody"]
    facts = record["facts"]
    assert (facts["people"], facts["images"], facts["single"]) == (3, 4, ["Eileen", "Joe"])
    assert (facts["data"], facts["unknown_source"]) == ("a test", "embedder")
    assert record["unknown_below"] == mien.Recognizer().embedder.threshold
    assert facts["tested"]["images"] == 2
    assert "3 people with 4 photos are too few" in shown.err
    assert "the embedder's own threshold, 0.371" in shown.err
    assert "one photo each, learned and not tested: Eileen, Joe" in shown.err
    assert "no photo with a face, left out: Nobody" in shown.err
    made = Classifier.load(out)
    assert (made.space, made.identities) == (record["space"], ("Barack", "Eileen", "Joe"))
    if sys.platform != "win32":
        assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_training_shows_a_table(people: Path, tmp_path: Path) -> None:
    shown = run("train", "classifier", people, "--out", tmp_path / "c.npz", "--method", "knn")
    for words in ("the likeliest person is the right one", "95 % interval", "4 photos of 3 people", "knn (neighbors="):
        assert words in shown.out
    assert "no face in 1 of 5 images" in shown.out


def test_a_damaged_image_is_named_and_the_rest_is_learned(people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    for person in people.iterdir():
        (folder / person.name).symlink_to(person)
    (folder / "Zed").mkdir()
    (folder / "Zed" / "broken.jpg").write_bytes(b"no image")
    shown = run("train", "classifier", folder, "--out", tmp_path / "c.npz", "--json")
    assert shown.code == 1
    assert shown.errors == ["bad_image"]
    assert shown.rows[0]["image"] == "Zed/broken.jpg"
    assert shown.rows[-1]["failures"] == {"no_face": 1, "bad_image": 1}
    assert Classifier.load(tmp_path / "c.npz").identities == ("Barack", "Eileen", "Joe")


def test_faces_are_told(trained: Path, samples: Samples) -> None:
    shown = run("classify", "--json", samples.obama[2], samples.biden, samples.group, "--classifier", trained)
    assert shown.code == 0
    barack, joe, group = shown.rows
    (face,) = barack["faces"]
    assert list(face) == ["xyxy", "score", "identity", "known", "candidates"]
    assert (face["identity"], face["known"]) == ("Barack", True)
    (candidate,) = face["candidates"]
    assert list(candidate) == ["identity", "probability", "similarity", "rank", "known"]
    assert (candidate["identity"], candidate["rank"], candidate["known"]) == ("Barack", 1, True)
    assert candidate["probability"] > 0.4
    (template,) = mien.Recognizer().analyze(samples.obama[2]).templates.vectors
    expected = Classifier.load(trained).references[0] @ template
    assert candidate["similarity"] == pytest.approx(float(expected), abs=1e-5)
    assert joe["faces"][0]["identity"] == "Joe"
    assert len(group["faces"]) == 6
    for face in group["faces"]:
        assert (face["identity"], face["known"]) == ("unknown", False)
        assert face["candidates"][0]["similarity"] < 0.371


def test_several_candidates_add_up(trained: Path, samples: Samples) -> None:
    shown = run("classify", "--json", samples.biden, "--classifier", trained, "--top", 9)
    candidates = shown.rows[0]["faces"][0]["candidates"]
    assert [c["rank"] for c in candidates] == [1, 2, 3]
    assert sum(c["probability"] for c in candidates) == pytest.approx(1, abs=1e-5)
    assert [c["probability"] for c in candidates] == sorted((c["probability"] for c in candidates), reverse=True)


def test_people_get_a_table_and_failures_a_line(trained: Path, samples: Samples, tmp_path: Path) -> None:
    wall = flat(tmp_path / "wall.png")
    absent = tmp_path / "absent.jpg"
    shown = run("classify", samples.biden, wall, absent, samples.group, "--classifier", trained)
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert lines[0].split() == ["image", "face", "who", "rank", "probability", "similarity"]
    assert next(line for line in lines if "biden" in line).split()[1:4] == ["0", "Joe", "1"]
    assert next(line for line in lines if "wall" in line).split()[1:] == ["none"]
    assert sum("unknown" in line for line in lines) == 6
    assert f"error: bad_image: {absent}" in shown.err


def test_pictures_are_saved(trained: Path, samples: Samples, tmp_path: Path) -> None:
    photo = small(samples.biden, tmp_path / "in" / "joe.jpg")
    shown = run("classify", tmp_path / "in", "--classifier", trained, "--save", tmp_path / "out")
    assert shown.code == 0
    with Image.open(photo) as before, Image.open(tmp_path / "out" / "joe.png") as after:
        assert after.size == before.size
        assert (np.asarray(before.convert("RGB")) != np.asarray(after)).any()


def test_another_models_templates_are_refused(trained: Path, samples: Samples, tmp_path: Path) -> None:
    made = Classifier.load(trained)
    other = tmp_path / "other.npz"
    values = {name: getattr(made, name) for name in made.__dataclass_fields__}
    Classifier(**{**values, "space": "dlib-resnet@55533b28"}).save(other)
    shown = run("classify", "--json", samples.biden, "--classifier", other)
    assert shown.code == 1
    assert shown.errors == ["space_mismatch"]
    message = shown.rows[0]["error"]["message"]
    assert (
        "expected templates of dlib-resnet@55533b28, which --embedder dlib-resnet makes, got those of sface@" in message
    )


def test_files_that_are_no_classifiers(samples: Samples, tmp_path: Path) -> None:
    damaged = tmp_path / "c.npz"
    damaged.write_bytes(b"PK\x03\x04 no zip")
    for file, words in ((damaged, "or a damaged one"), (tmp_path / "absent.npz", "No such file or directory")):
        shown = run("classify", "--json", samples.biden, "--classifier", file)
        assert (shown.code, shown.errors) == (1, ["bad_input"])
        assert words in shown.rows[0]["error"]["message"]
    assert run("classify", samples.biden).code == 2


def test_training_refuses(people: Path, samples: Samples, tmp_path: Path) -> None:
    out = tmp_path / "c.npz"

    def refused(folder: Path, code: str, words: str) -> None:
        shown = run("train", "classifier", folder, "--out", out, "--json")
        assert (shown.code, shown.errors) == (1, [code])
        assert words in shown.rows[-1]["error"]["message"]

    refused(tmp_path / "absent", "bad_input", "expected a folder, got nothing of that name")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "bad_input", "expected a folder of images for each person")
    small(samples.biden, tmp_path / "one" / "Joe" / "a.jpg")
    refused(tmp_path / "one", "bad_input", "expected at least 2 people, got 1")
    small(samples.obama[0], tmp_path / "one" / "unknown" / "a.jpg")
    refused(tmp_path / "one", "bad_input", "expected no one called 'unknown'")
    for name in ("a", "b"):
        (tmp_path / "walls" / name).mkdir(parents=True)
        flat(tmp_path / "walls" / name / "wall.jpg")
    refused(tmp_path / "walls", "bad_input", "expected images with a face, found none in 2")
    assert not out.exists()
    out.write_text("mine")
    refused(people, "output_error", "there is a file already; --overwrite replaces it")
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npz", "empty", "one", "walls"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "forest"), "logistic, svm or knn"),
        (("--unknown-rate", "0"), "--unknown-rate"),
        (("--unknown-rate", "0.7"), "--unknown-rate"),
        (("--face", "any"), "--face"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], words: str, people: Path, tmp_path: Path) -> None:
    shown = run("train", "classifier", people, "--out", tmp_path / "c.npz", *options)
    assert shown.code == 2
    assert words in shown.err
    assert run("train", "classifier", people).code == 2


@pytest.mark.data
@pytest.mark.slow
def test_people_and_strangers(data_root: Path, tmp_path: Path) -> None:
    """Twelve people with six photos each, and photos of them and of others that the classifier has not seen."""
    folders = sorted((data_root / "people").iterdir())
    known, strangers = tmp_path / "known", folders[20:28]
    probes: list[tuple[Path, str]] = []
    for folder in folders[:12]:
        files = sorted(folder.glob("*.jpg"))
        (known / folder.name).mkdir(parents=True)
        for file in files[:6]:
            (known / folder.name / file.name).symlink_to(file)
        probes += [(file, folder.name) for file in files[6:8]]
    probes += [(sorted(folder.glob("*.jpg"))[0], "unknown") for folder in strangers]
    out, templates = tmp_path / "c.npz", tmp_path / "templates.sqlite"
    trained = run("train", "classifier", known, "--out", out, "--keep-templates", templates, "--json")
    assert trained.code == 0, trained.err
    facts = trained.rows[-1]["facts"]
    assert (facts["people"], facts["unknown_source"]) == (12, "strangers")
    assert facts["tested"]["accuracy"] > 0.85
    shown = run("classify", "--json", *(file for file, _ in probes), "--classifier", out)
    told = []
    for row, (_, name) in zip(shown.rows, probes, strict=True):
        faces = sorted(row["faces"], key=lambda face: -(face["xyxy"][2] - face["xyxy"][0]))
        told.append((faces[0]["identity"] if faces else None, name))
    assert np.mean([found == name for found, name in told if name != "unknown"]) > 0.75
    assert np.mean([found == name for found, name in told if name == "unknown"]) > 0.6
    again = run("train", "classifier", known, "--out", tmp_path / "d.npz", "--keep-templates", templates, "--json")
    assert again.rows[-1]["facts"] == facts
