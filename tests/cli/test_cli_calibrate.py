from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from cli_running import run, small

import mien
from mien.images.samples import Samples
from mien.matching.calibration import Calibration


def test_verify_at_a_rate(samples: Samples) -> None:
    shown = run("verify", "--json", "--fmr", "1e-4", samples.obama[0], samples.obama[1])
    (row,) = shown.rows
    assert shown.code == 0
    assert list(row) == ["a", "b", "score", "match", "threshold", "probability", "space"]
    assert row["threshold"] == pytest.approx(mien.Recognizer().threshold_at(fmr=1e-4))
    assert row["match"] is True
    assert 0.99 < row["probability"] <= 1
    assert shown.err == ""
    assert "extrapolated" in run("verify", "--fmr", "1e-8", samples.obama[0], samples.biden).err
    assert "probability" in run("verify", samples.obama[0], samples.biden).out


@pytest.mark.parametrize(
    "options", [("--fmr", "0"), ("--fmr", "2"), ("--fmr", "nan"), ("--fmr", "1e-3", "--threshold", "0.4")]
)
def test_wrong_rates(options: tuple[str, ...], samples: Samples) -> None:
    shown = run("verify", *options, samples.biden, samples.biden)
    assert shown.code == 2
    assert "--fmr" in shown.err


def test_identify_at_a_rate(samples: Samples, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/people.db"
    for name, photo in (("Barack", samples.obama[0]), ("Joe", samples.biden)):
        assert run("enroll", "--identity", name, "--gallery", url, photo).code == 0
    shown = run("identify", "--json", "--gallery", url, "--fpir", "0.01", samples.obama[1])
    ((candidate,),) = [face["candidates"] for face in shown.rows[0]["faces"]]
    assert list(candidate) == ["identity", "score", "rank", "template_id", "probability"]
    assert candidate["identity"] == "Barack"
    assert candidate["probability"] > 0.99
    everybody = run("identify", "--json", "--gallery", url, "--threshold", "-1", "--top", "2", samples.obama[1])
    first, second = everybody.rows[0]["faces"][0]["candidates"]
    assert first == candidate
    assert second["probability"] < 0.5
    assert run("identify", "--gallery", url, "--fmr", "0.1", "--fpir", "0.1", samples.biden).code == 2
    assert run("identify", "--gallery", url, "--fpir", "1", samples.biden).code == 2


def test_a_damaged_calibration_does_not_bar_making_another(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{}")
    monkeypatch.setenv("MIEN_CALIBRATION", str(damaged))
    small(samples.obama[0], tmp_path / "people" / "Barack" / "a.jpg")
    assert "newer version" in run("verify", "--json", samples.biden, samples.biden).rows[0]["error"]["message"]
    shown = run("calibrate", "--json", tmp_path / "people", "--out", tmp_path / "c.json")
    assert "at least 10 people" in shown.rows[-1]["error"]["message"]


def test_calibrate_needs_people(samples: Samples, tmp_path: Path) -> None:
    small(samples.obama[0], tmp_path / "people" / "Barack" / "a.jpg")
    small(samples.biden, tmp_path / "people" / "Joe" / "a.jpg")
    shown = run("calibrate", "--json", tmp_path / "people", "--out", tmp_path / "c.json")
    assert shown.code == 1
    assert shown.errors == ["bad_input"]
    assert "at least 10 people" in shown.rows[-1]["error"]["message"]
    assert not (tmp_path / "c.json").exists()
    (tmp_path / "empty").mkdir()
    assert run("calibrate", "--json", tmp_path / "empty").errors == ["bad_input"]
    assert run("calibrate", "--json", tmp_path / "absent").errors == ["bad_input"]
    table = tmp_path / "pairs.csv"
    table.write_text("a,b,same\n")
    assert run("calibrate", tmp_path / "people", table).code == 2
    kept = tmp_path / "kept.json"
    kept.write_text("mine")
    assert run("calibrate", "--json", tmp_path / "people", "--out", kept).errors == ["output_error"]
    assert kept.read_text() == "mine"


@pytest.mark.data
@pytest.mark.slow
def test_calibrate_people_and_pairs(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = tmp_path / "people"
    people.mkdir()
    chosen = sorted((data_root / "people").iterdir())[:24]
    rows: list[tuple[str, str, int]] = []
    for k, folder in enumerate(chosen):
        files = sorted(folder.glob("*.jpg"))[:5]
        (people / folder.name).mkdir()
        for file in files:
            (people / folder.name / file.name).symlink_to(file)
        mine, next_one = str(files[0]), sorted(chosen[(k + 1) % 24].glob("*.jpg"))
        rows += [(str(a), str(b), 1) for i, a in enumerate(files) for b in files[i + 1 :]]
        rows += [(mine, str(other), 0) for other in next_one[:5]]
    out, templates = tmp_path / "c.json", tmp_path / "templates.sqlite"
    shared = ("--keep-templates", templates, "--replicates", "50")
    shown = run("calibrate", "--json", people, "--out", out, "--data", "a test", *shared)
    assert shown.code == 0, shown.err
    (record,) = shown.rows
    assert record["facts"]["data"] == "a test"
    assert record["facts"]["people"] == 24
    assert [point["fmr"] for point in record["points"]] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    made = Calibration.load(out)
    assert made.space == record["space"] == mien.Recognizer().space
    assert "photo" not in out.read_text().replace("photos", "")
    monkeypatch.setenv("MIEN_CALIBRATION", str(out))
    verdict = mien.Recognizer().verify(
        sorted(chosen[3].glob("*.jpg"))[0], sorted(chosen[3].glob("*.jpg"))[1], face="largest"
    )
    assert verdict.probability == pytest.approx(float(made.probability(verdict.score)))
    monkeypatch.delenv("MIEN_CALIBRATION")
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter=";")
        writer.writerows([("a", "b", "same"), *rows])
    listed = run("calibrate", "--json", table, "--out", tmp_path / "listed.json", *shared[2:])
    assert listed.code == 0, listed.err
    assert listed.rows[0]["facts"]["non_mated"] <= 120
    assert json.loads((tmp_path / "listed.json").read_text())["space"] == made.space
