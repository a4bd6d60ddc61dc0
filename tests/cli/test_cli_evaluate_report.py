from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_running import needs_terminal, run, terminal

from made_faces import CountingDetector, fake_recognizer, pairs_table, people_folder
from mien.cli.options import Tuning
from mien.evaluation import report as report_package
from mien.evaluation.report import svg

FEW = ("--replicates", "20")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CountingDetector:
    detector = CountingDetector()
    monkeypatch.setattr(Tuning, "recognizer", lambda _self: fake_recognizer(detector))
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return detector


def test_pairs_are_reported(fake: CountingDetector, tmp_path: Path) -> None:
    table, page, numbers = pairs_table(tmp_path / "set"), tmp_path / "r.html", tmp_path / "r.json"
    shown = run("evaluate", "pairs", table, "--report", page, "--json-report", numbers, *FEW)
    assert shown.code == 0
    assert f"written: {page}" in shown.out.replace("\n", "")
    html = page.read_text(encoding="utf-8")
    figure = next(f for f in json.loads(numbers.read_text())["figures"] if f["name"] == "eer")
    assert f'data-figure="eer" data-value="{figure["value"]}"' in html
    assert "data:image/jpeg" in html
    assert run("evaluate", "pairs", table, "--report", page, "--no-faces", *FEW).code == 0
    html = page.read_text(encoding="utf-8")
    assert "data:image" not in html
    assert "person0" not in html


def test_searches_are_reported(fake: CountingDetector, tmp_path: Path) -> None:
    folder, page = people_folder(tmp_path / "people", [3] * 6), tmp_path / "r.html"
    lines = run("evaluate", "identify", folder, "--report", page, "--splits", "2", "--json", "--quality", *FEW)
    assert (lines.code, len(lines.rows)) == (0, 1)
    html = page.read_text(encoding="utf-8")
    for figure in lines.rows[0]["figures"]:
        if figure["value"] is not None:
            assert f'data-figure="{figure["name"]}" data-value="{figure["value"]}' in html


def test_templates_are_reported(fake: CountingDetector, tmp_path: Path) -> None:
    people_folder(tmp_path, [2, 2])
    (tmp_path / "t.csv").write_text("template,image\nA,person0/0.png\nB,person0/1.png\nC,person1/0.png\n")
    (tmp_path / "p.csv").write_text("a,b,same\nA,B,1\nA,C,0\nB,C,0\n")
    page = tmp_path / "r.html"
    shown = run("evaluate", "templates", tmp_path / "t.csv", "--pairs", tmp_path / "p.csv", "--report", page, *FEW)
    assert shown.code == 0
    assert "no picture" in page.read_text(encoding="utf-8")


def test_several_runs_are_compared(fake: CountingDetector, tmp_path: Path) -> None:
    table, run_json, page = pairs_table(tmp_path / "set"), tmp_path / "a.json", tmp_path / "r.html"
    assert run("evaluate", "pairs", table, "--json-report", run_json, *FEW).code == 0
    lines = run("evaluate", "compare", run_json, run_json, run_json, "--json", "--report", page, *FEW)
    assert (lines.code, len(lines.rows)) == (0, 2)
    html = page.read_text(encoding="utf-8")
    assert "Comparison of 3 runs" in html
    figures = {figure["name"]: figure for figure in lines.rows[1]["figures"]}
    for name in ("auc", "accuracy"):
        assert f'data-figure="{name}" data-a="{figures[name]["a"]}"' in html
    shown = run("evaluate", "compare", run_json, run_json, run_json, *FEW)
    assert "A - C" in shown.out
    assert run("evaluate", "compare", run_json).code == 2
    assert run("evaluate", "compare", *[run_json] * 27).code == 2


@needs_terminal
def test_bars_are_shown_while_intervals_and_reports_are_made(fake: CountingDetector, tmp_path: Path) -> None:
    table, run_json, page = pairs_table(tmp_path / "set"), tmp_path / "a.json", tmp_path / "r.html"
    assert run("evaluate", "pairs", table, "--json-report", run_json, *FEW).code == 0
    shown = terminal("evaluate", "compare", run_json, run_json, "--report", page, "--replicates", "200")
    assert shown.code == 0
    assert "intervals" in shown.out
    assert "report" in shown.out.partition("written")[0].replace("--report", "")
    assert shown.out.count("replicates") > 2


@pytest.mark.parametrize("command", ["pairs", "identify", "compare"])
def test_a_report_that_cannot_be_made_is_told_before_the_work(
    fake: CountingDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    table = pairs_table(tmp_path / "set")
    subjects = {"pairs": [table], "identify": [tmp_path / "set"], "compare": [table, table]}[command]
    (tmp_path / "file").touch()
    for page in (tmp_path / "absent" / "r.html", tmp_path, tmp_path / "file" / "r.html"):
        shown = run("evaluate", command, *subjects, "--json", "--report", page, *FEW)
        assert (shown.code, shown.errors) == (1, ["output_error"])
    monkeypatch.setattr(svg, "find_spec", lambda name: None if name == "jinja2" else object())
    assert report_package.require_packages is svg.require_packages
    shown = run("evaluate", command, *subjects, "--json", "--report", tmp_path / "r.html", *FEW)
    assert (shown.code, shown.errors) == (1, ["missing_extra"])
    assert "jinja2: pip install 'mien[evaluate]'" in shown.out
    assert fake.seen == 0
    assert not (tmp_path / "r.html").exists()
