from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_running import run, small, start

import mien
from mien.errors import BadInput
from mien.galleries import Block, Migratable, Portable, Portraits
from mien.images.samples import Samples
from mien.matching.mapping import SpaceMap, fit_map
from mien.recognizer.pairing import require_enough
from mien.recognizer.portraits import take_portraits
from mien.types import Templates

DLIB, SFACE = "dlib-resnet@55533b28", "sface@fb143eea"


@pytest.fixture
def people(samples: Samples, tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    for name, photos in {"Barack Obama": samples.obama[:2], "Joe Biden": [samples.biden]}.items():
        for number, photo in enumerate(photos):
            small(photo, folder / name / f"{number}.jpg", 600)
    return folder


def enrolled(people: Path, url: str, embedder: str = "dlib-resnet") -> None:
    assert run("enroll", people, "--gallery", url, "--embedder", embedder).code == 0


def test_migrate_by_portraits(people: Path, samples: Samples, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    run("gallery", "create", "--gallery", url, "--portraits")
    enrolled(people, url)
    moved = run("gallery", "migrate", "--json", "--gallery", url, "--to", "sface")
    assert moved.rows == [{"gallery": url, "from": DLIB, "to": SFACE, "templates": 3, "mapped": 0}]
    found = run("identify", "--json", samples.obama[2], "--gallery", url).rows[0]
    assert found["faces"][0]["candidates"][0]["identity"] == "Barack Obama"
    assert run("gallery", "migrate", "--json", "--gallery", url, "--to", "sface").errors == ["gallery_error"]
    assert "moved from" in run("gallery", "migrate", "--gallery", url, "--to", "dlib-resnet").out


def test_without_portraits(people: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    enrolled(people, url)
    refused = run("gallery", "migrate", "--json", "--gallery", url, "--to", "sface")
    assert refused.errors == ["gallery_error"]
    assert "3 of 3 templates have no portrait" in refused.rows[0]["error"]["message"]
    assert run("gallery", "list", "--json", "--gallery", url).rows[0]["target"] is None


def test_wrong_usage(people: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    enrolled(people, url, "sface")
    assert run("gallery", "migrate", "--gallery", url, "--to", "dlib-resnet", "--map", tmp_path / "absent").code == 2
    assert run("gallery", "migrate", "--gallery", url, "--to", "dlib-resnet", "--embedder", "sface").code == 2
    (tmp_path / "bad.npz").write_text("hello")
    bad = run("gallery", "migrate", "--json", "--gallery", url, "--to", "dlib-resnet", "--map", tmp_path / "bad.npz")
    assert bad.errors == ["bad_input"]
    assert run("gallery", "migrate", "--json", "--gallery", url, "--to", "nobody").errors == ["model_not_found"]
    assert run("gallery", "migrate", "--json", "--gallery", "memory:", "--to", "sface").errors == ["gallery_error"]
    fit = ("gallery", "fit-map", people, "--from", "dlib-resnet")
    assert run(*fit, "--to", "sface", "--out", tmp_path / "map.txt").code == 2
    few = run(*fit, "--to", "sface", "--out", tmp_path / "map.npz", "--json")
    assert few.errors == ["bad_input"]
    assert "at least 10 people" in few.rows[0]["error"]["message"]
    nowhere = run(*fit, "--to", "sface", "--out", tmp_path / "absent" / "map.npz", "--json")
    assert nowhere.errors == ["output_error"]
    same = run(*fit, "--to", "dlib-resnet", "--out", tmp_path / "map.npz", "--json")
    assert same.errors == ["bad_input"]
    assert "two models" in same.rows[0]["error"]["message"]
    for options in ((), ("--to", "sface", "--abandon"), ("--abandon", "--map", tmp_path / "bad.npz")):
        assert run("gallery", "migrate", "--gallery", url, *options).code == 2
    absent = run("gallery", "fit-map", tmp_path / "absent", "--from", "sface", "--to", "dlib-resnet", "--out", "a.npz")
    assert absent.code == 2
    assert "DIR" in absent.err


def test_too_few_people_are_told_before_any_image_is_read(tmp_path: Path) -> None:
    for person in range(12):
        (tmp_path / "faces" / f"{person}").mkdir(parents=True)
        for number in range(5):
            # No images at all: reading them would tell of each.
            (tmp_path / "faces" / f"{person}" / f"{number}.jpg").write_text("hello")
    fit = ("gallery", "fit-map", tmp_path / "faces", "--from", "dlib-resnet", "--to", "sface", "--json")
    few = run(*fit, "--out", tmp_path / "map.npz")
    assert few.errors == ["bad_input"]
    assert "got 150 at best (12 people with 60 images)" in few.rows[0]["error"]["message"]
    out = tmp_path / "there.npz"
    out.touch()
    assert run(*fit, "--out", out).errors == ["output_error"]
    assert run(*fit, "--out", out, "--overwrite").errors == ["bad_input"]


@pytest.mark.parametrize("counts", [[], [9] * 9, [1] * 500, [5] * 12, [1000, *[1] * 9]])
def test_counts_that_cannot_do(counts: list[int]) -> None:
    images = np.random.default_rng(0)
    people = [f"{person}" for person, count in enumerate(counts) for _ in range(count)]
    old, new = (
        Templates.normalized(images.standard_normal((max(1, len(people)), 4)), space)[: len(people)]
        for space in ("a@00000000", "b@00000000")
    )
    # What is refused before is what the fit itself would refuse, whoever is held out.
    for seed in range(5):
        with pytest.raises(BadInput):
            fit_map(old, new, people, seed=seed)
    if counts != [1000, *[1] * 9]:
        with pytest.raises(BadInput):
            require_enough(counts, 1e-3)


@pytest.mark.parametrize("counts", [[20] * 12, [6] * 30, [2] * 100])
def test_counts_that_can_do(counts: list[int]) -> None:
    require_enough(counts, 1e-3)
    images = np.random.default_rng(0)
    people = [f"{person}" for person, count in enumerate(counts) for _ in range(count)]
    old, new = (
        Templates.normalized(images.standard_normal((len(people), 4)), space) for space in ("a@00000000", "b@00000000")
    )
    assert fit_map(old, new, people).loss.people == round(0.3 * len(counts))


def test_a_migration_is_abandoned(people: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db?portraits=yes"
    enrolled(people, url)
    none = run("gallery", "migrate", "--json", "--gallery", url, "--abandon", "--yes")
    assert none.errors == ["gallery_error"]
    assert "no migration is under way" in none.rows[0]["error"]["message"]
    with mien.open_gallery(url) as gallery:
        assert isinstance(gallery, Migratable)
        gallery.begin_migration(SFACE, 128)
        (first, *_) = gallery.unmigrated(1)
        gallery.put_pending([(first.template_id, first.vector)], target=SFACE, mapped=False)
    unasked = run("gallery", "migrate", "--gallery", url, "--abandon")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert run("gallery", "list", "--json", "--gallery", url).rows[0]["migrated"] == 1
    given_up = run("gallery", "migrate", "--json", "--gallery", url, "--abandon", "--yes")
    assert given_up.rows == [{"gallery": url, "space": DLIB, "abandoned": SFACE, "dropped": 1}]
    (row,) = run("gallery", "list", "--json", "--gallery", url).rows
    assert (row["space"], row["target"], row["templates"]) == (DLIB, None, 3)


def test_options_that_would_do_nothing_are_not_there() -> None:
    migrate, fit = (run("gallery", name, "--help").out for name in ("migrate", "fit-map"))
    for option in ("--embedder", "--detector", "--min-face", "--min-score", "--batch"):
        assert option not in migrate
    assert "--embedder" not in fit
    assert "--detector" in fit
    assert "--runtime" in migrate


def test_identify_tells_of_mapped_templates(samples: Samples, tmp_path: Path) -> None:
    url, photo = f"sqlite:///{tmp_path}/people.db", small(samples.obama[2], tmp_path / "a.jpg", 400)
    template = Templates.normalized(np.ones((1, 128)), SFACE)
    with mien.open_gallery(url) as gallery:
        assert isinstance(gallery, Portable)
        flags, times = np.array([True]), np.array([time.time()])
        gallery.restore(Block(np.array([1]), ["Ada"], [()], template.vectors, times, flags), SFACE)
    shown = run("identify", photo, "--gallery", url)
    assert shown.code == 0
    (line,) = shown.err.splitlines()
    assert line.startswith("default: 1 of 1 templates are mapped, and the usual threshold, 0.371, is not made for")
    assert run("identify", photo, "--gallery", url, "--threshold", 0.5).err == ""


@pytest.mark.data
@pytest.mark.slow
def test_a_map_is_fitted_measured_and_used(people: Path, data_root: Path, samples: Samples, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    for person in sorted((data_root / "people").iterdir())[:30]:
        (faces / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:6]:
            os.symlink(photo, faces / person.name / photo.name)
    (faces / "0 broken").mkdir()
    (faces / "0 broken" / "a.jpg").write_text("hello")
    out = tmp_path / "map.npz"
    fitted = run("gallery", "fit-map", faces, "--from", "dlib-resnet", "--to", "sface", "--out", out, "--json")
    assert (fitted.code, set(fitted.errors)) == (1, {"bad_image", "no_face"})
    assert "rests on" in fitted.err
    assert "fewer than 30000" in fitted.err
    row = fitted.rows[-1]
    assert (row["from"], row["to"], row["people"]) == (DLIB, SFACE, 21)
    loss = row["loss"]
    assert loss["people"] == 9
    assert 0 < loss["mapped_new"]["tmr"] < loss["new"]["tmr"] <= 1
    assert SpaceMap.load(out).loss.mapped_new.tmr == loss["mapped_new"]["tmr"]

    url = f"sqlite:///{tmp_path}/people.db"
    enrolled(people, url)
    migrate = ("gallery", "migrate", "--gallery", url, "--to", "sface", "--map", out)
    unasked = run(*migrate)
    assert unasked.code == 2
    assert run("gallery", "list", "--json", "--gallery", url).rows[0]["target"] is None
    moved = run(*migrate, "--yes", "--json")
    assert moved.rows == [{"gallery": url, "from": DLIB, "to": SFACE, "templates": 3, "mapped": 3}]
    assert run("gallery", "show", "--json", "--gallery", url).rows[0]["mapped"] == 3
    found = run("identify", "--json", samples.obama[2], "--gallery", url, "--threshold", 0).rows[0]
    assert found["faces"][0]["candidates"][0]["identity"] == "Barack Obama"


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT and SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_migration_is_gone_on_with(samples: Samples, tmp_path: Path, how: signal.Signals) -> None:
    url, count = f"sqlite:///{tmp_path}/people.db?portraits=yes", 500
    recognizer = mien.Recognizer(mien.Settings(embedder="dlib-resnet"))
    found = recognizer.analyze(small(samples.obama[0], tmp_path / "a.jpg", 300))
    taken = take_portraits(mien.load(tmp_path / "a.jpg"), found.faces)
    with mien.open_gallery(url) as gallery:
        vectors = found.templates.vectors.repeat(count, axis=0)
        portraits = Portraits([*taken.pictures] * count, taken.landmarks.repeat(count, axis=0))
        gallery.add("Ada", mien.Templates(vectors, found.templates.space), portraits=portraits)
    with start("gallery", "migrate", "--gallery", url, "--to", "sface") as running:
        while running.poll() is None and not _done(url):
            time.sleep(0.05)
        os.kill(running.pid, how)
        _, err = running.communicate(timeout=60)
    with mien.open_gallery(url) as gallery:
        assert isinstance(gallery, Migratable)
        state = gallery.migration()
        assert gallery.space == DLIB
        assert state is not None
        assert 0 < state.done < count
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert "stopping after the templates in hand" in err
        assert f"interrupted: {state.done} of {count} templates are done; until all are, the gallery works with" in err
    again = run("gallery", "migrate", "--json", "--gallery", url, "--to", "sface")
    assert again.rows[0]["to"] == SFACE
    with mien.open_gallery(url) as gallery:
        assert len(gallery) == count


def _done(url: str) -> int:
    with mien.open_gallery(url) as gallery:
        assert isinstance(gallery, Migratable)
        state = gallery.migration()
        return 0 if state is None else state.done
