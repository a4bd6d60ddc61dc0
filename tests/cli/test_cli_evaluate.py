from __future__ import annotations

import csv
import json
import os
import pickle
from pathlib import Path

import pytest
from cli_running import run

from made_faces import CountingDetector, face_image, fake_recognizer, pairs_table, people_folder, write
from mien.cli.options import Tuning
from mien.images.samples import Samples

FEW = ("--replicates", "20")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CountingDetector:
    """All commands recognize by color, and keep their work in a cache of their own."""
    detector = CountingDetector()
    monkeypatch.setattr(Tuning, "recognizer", lambda _self: fake_recognizer(detector))
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return detector


def test_pairs(fake: CountingDetector, tmp_path: Path) -> None:
    table = pairs_table(tmp_path / "set")
    shown = run("evaluate", "pairs", table, *FEW)
    assert shown.code == 0
    assert "10 pairs in 2 folds" in shown.out
    assert "TMR at FMR 1e-1" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 100
    lines = run("evaluate", "pairs", table, "--json", *FEW)
    assert lines.code == 0
    (row,) = lines.rows
    assert row["protocol"]["pairs"] == 10
    assert "trials" not in row
    assert not list((tmp_path / "cache" / "evaluations").glob("*"))


def test_missing_files_are_listed_and_counted(fake: CountingDetector, tmp_path: Path) -> None:
    table = pairs_table(tmp_path / "set")
    (tmp_path / "set" / "person0" / "1.png").unlink()
    shown = run("evaluate", "pairs", table, *FEW)
    assert shown.code == 1
    assert "error: bad_image: person0/1.png: there is no such file" in shown.err
    assert "missing files 1, pairs left out 1" in shown.err
    assert "9 pairs" in shown.out
    lines = run("evaluate", "pairs", table, "--json", *FEW)
    assert (lines.code, lines.errors) == (1, ["bad_image"])
    assert lines.rows[1]["protocol"]["missing"] == ["person0/1.png"]


def test_images_that_cannot_be_used_fail_and_faceless_ones_are_counted(fake: CountingDetector, tmp_path: Path) -> None:
    table = pairs_table(tmp_path / "set")
    write(tmp_path / "set" / "person0" / "1.png", face_image(0, faces=0))
    faceless = run("evaluate", "pairs", table, *FEW)
    assert faceless.code == 0
    assert "7 of 8 images; not: no_face 1" in faceless.out
    (tmp_path / "set" / "person0" / "1.png").write_text("no image")
    broken = run("evaluate", "pairs", table, "--json", *FEW)
    assert (broken.code, broken.errors) == (1, ["bad_image"])
    assert broken.rows[1]["acquisition"]["reasons"] == {"bad_image": 1}


@pytest.mark.parametrize("command", [("pairs",), ("identify",)])
def test_a_report_that_cannot_be_written_is_told_before_the_work(
    fake: CountingDetector, tmp_path: Path, command: tuple[str, ...]
) -> None:
    table = pairs_table(tmp_path / "set")
    subject = table if command == ("pairs",) else tmp_path / "set"
    (tmp_path / "file").touch()
    for report in (tmp_path / "absent" / "r.json", tmp_path, tmp_path / "file" / "r.json"):
        shown = run("evaluate", *command, subject, "--json", "--json-report", report, *FEW)
        assert (shown.code, shown.errors) == (1, ["output_error"])
    assert fake.seen == 0


def test_bad_input(fake: CountingDetector, tmp_path: Path) -> None:
    table = pairs_table(tmp_path / "set")
    (tmp_path / "set" / "one.csv").write_text("a,b,same\nperson0/0.png,person0/1.png,1\n")
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(os.getcwd))
    for subject, text in ((tmp_path / "set" / "one.csv", "all of them mated"), (tmp_path / "evil.bin", "getcwd")):
        shown = run("evaluate", "pairs", subject, *FEW)
        assert shown.code == 1
        assert text in shown.err
        assert "Traceback" not in shown.err
    assert run("evaluate", "pairs", table, "--protocol", "ijb").code == 2
    assert run("evaluate", "pairs", table, "--face", "best").code == 2
    assert run("evaluate", "pairs", table, "--quality-cut", "50").code == 2
    assert run("evaluate", "pairs", tmp_path / "absent").code == 1
    assert run("evaluate", "identify", tmp_path / "set", "--enrolled", "2", *FEW).code == 1
    assert fake.seen == 0


def test_ctrl_c_keeps_what_is_done(fake: CountingDetector, tmp_path: Path) -> None:
    table = pairs_table(tmp_path / "set")
    fake.limit = 4
    stopped = run("evaluate", "pairs", table, *FEW)
    assert stopped.code == 130
    assert "interrupted: 4 of 8 images are kept; run the same command again to go on" in stopped.err
    assert stopped.out == ""
    fake.limit, fake.seen = None, 0
    gone_on = run("evaluate", "pairs", table, "--json", *FEW)
    assert (gone_on.code, fake.seen) == (0, 4)
    fake.seen = 0
    anew = run("evaluate", "pairs", table, "--json", *FEW)
    assert fake.seen == 8
    assert anew.rows[0]["figures"] == gone_on.rows[0]["figures"]


def test_templates_may_be_kept(fake: CountingDetector, tmp_path: Path) -> None:
    table, kept = pairs_table(tmp_path / "set"), tmp_path / "kept.sqlite"
    assert run("evaluate", "pairs", table, "--keep-templates", kept, *FEW).code == 0
    assert run("evaluate", "identify", tmp_path / "set", "--keep-templates", kept, *FEW).code == 0
    assert (fake.seen, kept.exists()) == (8, True)
    other = run("evaluate", "pairs", table, "--keep-templates", kept, "--face", "largest", "--json", *FEW)
    assert (other.code, other.errors) == (1, ["bad_input"])


def test_reports_are_compared(fake: CountingDetector, tmp_path: Path) -> None:
    table, report = pairs_table(tmp_path / "set"), tmp_path / "a.json"
    assert run("evaluate", "pairs", table, "--json-report", report, *FEW).code == 0
    assert json.loads(report.read_text())["trials"]["samples"][0] == "person0/0.png"
    shown = run("evaluate", "compare", report, report, *FEW)
    assert shown.code == 0
    assert "undecided" in shown.out
    (row,) = run("evaluate", "compare", report, report, "--json", *FEW).rows
    assert row["kind"] == "comparison"
    assert "paired t-test" in shown.out
    assert run("evaluate", "compare", report, table, *FEW).code == 1
    for few in ("0", "1"):
        assert run("evaluate", "compare", report, report, "--replicates", few).code == 2
    assert run("evaluate", "pairs", table, "--replicates", "1").code == 2


def test_groups(fake: CountingDetector, tmp_path: Path) -> None:
    table = pairs_table(tmp_path / "set")
    lines = [f"person{p}/{v}.png\t{'even' if p % 2 == 0 else 'odd'}" for p in range(4) for v in range(2)]
    (tmp_path / "groups.csv").write_text("\n".join(["image\tgroup", *lines]), encoding="utf-8-sig")
    shown = run("evaluate", "pairs", table, "--groups", tmp_path / "groups.csv", *FEW)
    assert shown.code == 0
    assert "by group" in shown.out
    assert "FMR max min" in shown.out
    assert "FNMR of a sample of one group" not in shown.out
    # With and without a mask: one person has samples in both groups.
    lines = [f"person{p}/{v}.png,{'masked' if v else 'unmasked'}" for p in range(4) for v in range(2)]
    (tmp_path / "masks.csv").write_text("\n".join(["image,group", *lines]))
    shown = run("evaluate", "pairs", table, "--groups", tmp_path / "masks.csv", *FEW)
    assert shown.code == 0
    matrix = shown.out[shown.out.index("FNMR of a sample of one group") :]
    assert matrix.splitlines()[1].split() == ["group", "masked", "unmasked"]
    assert "(4)" in matrix.splitlines()[2] or "(4)" in matrix.splitlines()[3]


def test_identify(fake: CountingDetector, tmp_path: Path) -> None:
    folder = people_folder(tmp_path / "people", [3] * 6)
    shown = run("evaluate", "identify", folder, "--splits", "2", *FEW)
    assert shown.code == 0
    assert "6 people" in shown.out
    assert "2 splits, 1 enrolled each, 50 % of people kept out" in shown.out
    (row,) = run("evaluate", "identify", folder, "--json", "--quality", *FEW).rows
    assert (row["kind"], len(row["splits"])) == ("open-set", 5)
    assert {part["kind"] for part in row["slices"]} == {"quality of probe and mate", "quality of probe"}


def test_templates(fake: CountingDetector, tmp_path: Path) -> None:
    people_folder(tmp_path, [3, 2])
    rows = ["template;image", "A;person0/0.png", "A;person0/1.png", "B;person0/2.png", "C;person1/0.png"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    (tmp_path / "p.csv").write_text("a;b;same\nA;B;1\nA;C;0\n")
    (row,) = run("evaluate", "templates", tmp_path / "t.csv", "--pairs", tmp_path / "p.csv", "--json", *FEW).rows
    assert (row["protocol"]["pairs"], row["acquisition"]["samples"]) == (2, 4)


def test_overlap(fake: CountingDetector, tmp_path: Path) -> None:
    people_folder(tmp_path / "a", [2, 2])
    write(tmp_path / "b" / "x" / "0.png", face_image(1, 1))
    out = tmp_path / "review.csv"
    shown = run("evaluate", "overlap", tmp_path / "a", tmp_path / "b", "--out", out)
    assert shown.code == 0
    assert "1 likenesses" in shown.out
    with out.open(newline="", encoding="utf-8") as handle:
        (found,) = csv.DictReader(handle)
    assert (found["a"], found["b"], found["mutual"], found["image_a"]) == ("person1", "x", "1", "person1/1.png")
    refused = run("evaluate", "overlap", tmp_path / "a", tmp_path / "b", "--out", out / "below.csv", "--json")
    assert refused.errors == ["output_error"]


def test_real_faces(samples: Samples, tmp_path: Path) -> None:
    photos = [*samples.obama, samples.biden, samples.astronaut]
    names = [os.path.relpath(photo, tmp_path) for photo in photos]
    rows = [f"{names[i]},{names[j]},{int(j < 3)}" for i in range(5) for j in range(i + 1, 5)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]))
    (row,) = run("evaluate", "pairs", tmp_path / "pairs.csv", "--json", *FEW).rows
    figures = {figure["name"]: figure["value"] for figure in row["figures"]}
    assert (figures["fta"], figures["auc"], figures["fmr_default"], figures["fnmr_default"]) == (0, 1, 0, 0)


@pytest.mark.data
def test_measuring_data(data_root: Path, tmp_path: Path) -> None:
    lines = (data_root / "lfw" / "pairs.txt").read_text().splitlines()
    (tmp_path / "pairs.txt").write_text("\n".join(["1\t20", *lines[1:21], *lines[301:321]]) + "\n")
    shown = run("evaluate", "pairs", tmp_path / "pairs.txt", "--images", data_root / "lfw" / "images", "--json", *FEW)
    assert shown.code == 0
    figures = {figure["name"]: figure["value"] for figure in shown.rows[0]["figures"]}
    assert figures["auc"] > 0.99
