from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_reading import Page

from made_faces import COLORS, face_image, fake_recognizer, pairs_table, people_folder, write
from mien.errors import BadInput
from mien.evaluation import (
    OpenSetResults,
    PairResults,
    Uncertainty,
    compare_runs,
    evaluate_open_set,
    evaluate_pairs,
    pair_results,
    read_pairs,
    read_people,
    read_run,
)
from mien.evaluation.report import comparison_report, open_set_report, pair_report
from mien.matching.calibration import Calibration, CalibrationFacts, Tail

FEW = Uncertainty(replicates=20)
EVIL = '<script>alert("x")</script>&amp;$x$'
EXTERNAL = re.compile(r"https?:|url\((?!#)|@import")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> PairResults:
    root = tmp_path_factory.mktemp("pairs")
    return evaluate_pairs(fake_recognizer(), read_pairs(pairs_table(root, len(COLORS))), uncertainty=FEW)


@pytest.fixture(scope="module")
def rich(results: PairResults) -> PairResults:
    """With quality, groups of evil names, and a failure of an evil name."""
    count = len(results.protocol.samples)
    samples = (replace(results.protocol.samples[0], name=f"{EVIL}/0.png"), *results.protocol.samples[1:])
    protocol = replace(
        results.protocol,
        samples=samples,
        groups=np.arange(count) // 2 % 2,
        group_names=(EVIL, "south"),
        notes=(EVIL,),
    )
    acquired = replace(
        results.acquired, names=tuple(sample.name for sample in samples), quality=np.linspace(10, 90, count)
    )
    facts = replace(results.acquisition, failures=())
    return pair_results(protocol, acquired, facts, results.run, FEW)


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> OpenSetResults:
    root = people_folder(tmp_path_factory.mktemp("people"), [3] * len(COLORS))
    write(root / "person0" / "blank.png", face_image(0, faces=0))
    return evaluate_open_set(fake_recognizer(), read_people(root), splits=2, uncertainty=FEW)


def calibration(space: str) -> Calibration:
    facts = CalibrationFacts("made faces", 8, 16, 8, 28, 0.1, 0.1, "by hand", "2026-01-01", {})
    ends = np.array([-1.0, 1.0])
    return Calibration(
        space, ends, 5 * ends, np.array([0.5, 0.1]), np.array([0.0, 0.5]), Tail(0.5, 0.1, 0.1), (), facts
    )


def assert_equal_to_json(page: Page, figures: list[dict[str, Any]]) -> None:
    rows = page.figures()
    for figure in figures:
        shown = rows[figure["name"]].attributes
        interval = figure["interval"] or {"low": None, "high": None}
        for attribute, value in (
            ("data-value", figure["value"]),
            ("data-low", interval["low"]),
            ("data-high", interval["high"]),
        ):
            assert (float(shown[attribute]) if attribute in shown else None) == value, figure["name"]


def assert_nothing_external(html: str, page: Page) -> None:
    for element in page.elements:
        for name, value in element.attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value.startswith(("#", "data:image/")), (element.tag, name, value[:80])
            assert not name.startswith("on"), (element.tag, name)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {e.tag for e in page.elements}
    assert not EXTERNAL.search(html)
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    assert "default-src 'none'" in policy.attributes["content"]


def assert_accessible(page: Page) -> None:
    assert page.all("html")[0].attributes["lang"] == "en"
    assert all(e.attributes.get("alt") for e in page.all("img"))
    drawings = page.all("svg")
    assert drawings
    assert all(e.attributes.get("role") == "img" and len(e.attributes["aria-label"]) > 20 for e in drawings)
    assert all(e.attributes.get("scope") for e in page.all("th"))
    names = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(names) == len(set(names))
    targets = re.findall(r"url\(#([^)]*)\)", " ".join(v for e in page.elements for v in e.attributes.values()))
    targets += [e.attributes["href"][1:] for e in page.elements if "href" in e.attributes]
    assert targets
    assert set(targets) <= set(names)


def test_a_bare_run(results: PairResults) -> None:
    html = pair_report(results)
    page = Page(html)
    assert_nothing_external(html, page)
    assert_accessible(page)
    found = results.to_json()
    assert_equal_to_json(page, found["figures"])
    plots = {e.attributes["id"] for e in page.all("figure")}
    assert plots == {"plot-det", "plot-scores", "plot-roc", "plot-precision"}
    assert not page.all("section", id="by-group")
    assert "1:1" in page.all("header")[0].words
    setup = page.all("section", id="setup")[0].words
    for fact in (found["run"]["space"], found["run"]["date"], found["run"]["machine"]["system"], "seed 0"):
        assert fact in setup


def test_key_figures_come_first_and_are_those_of_the_table(results: PairResults) -> None:
    page = Page(pair_report(results))
    rows = page.figures()
    tiles = [e for e in page.all("li") if "data-figure" in e.attributes]
    assert len(tiles) == 5
    for tile in tiles:
        row = rows[tile.attributes["data-figure"]]
        assert tile.attributes["data-value"] == row.attributes["data-value"]
    order = [e.attributes.get("class") or e.tag for e in page.elements]
    assert order.index("tiles") < order.index("svg") < order.index("table")


def test_what_the_trials_do_not_support_is_said(results: PairResults) -> None:
    rows = Page(pair_report(results)).figures()
    assert "data-value" not in rows["tmr_at_fmr_1e-6"].attributes
    assert "not supported: the rule of 3 asks for 3,000,000" in rows["tmr_at_fmr_1e-6"].words


def test_everything_at_once_and_evil_names(rich: PairResults) -> None:
    html = pair_report(rich, calibration=calibration(rich.run.space))
    page = Page(html)
    assert_nothing_external(html, page)
    assert_accessible(page)
    assert "<script" not in html
    found = rich.to_json()
    assert_equal_to_json(page, found["figures"])
    assert_equal_to_json(page, found["groups"]["figures"])
    assert {"plot-discard", "plot-reliability", "plot-groups"} <= {e.attributes["id"] for e in page.all("figure")}
    groups = page.all("section", id="by-group")[0].words
    assert EVIL in groups
    assert EVIL in page.all("section", id="setup")[0].words
    cells = {float(e.attributes["data-value"]) for e in page.all("td") if "data-value" in e.attributes}
    wanted = [figure["value"] for part in found["slices"] for figure in part["figures"]]
    wanted += [figure["value"] for group in found["groups"]["groups"] for figure in group["figures"]]
    wanted += [fold["accuracy"] for fold in found["folds"]]
    wanted += [rate for row in found["groups"]["cross_fmr"] for rate in row]
    assert {value for value in wanted if value is not None} <= cells


def test_drawings_take_their_colors_from_the_page(rich: PairResults) -> None:
    html = pair_report(rich)
    assert "var(--series-1)" in html
    assert "prefers-color-scheme: dark" in html
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.findall(r"(?:fill|stroke): #", drawn)


def test_the_worst_are_shown_with_faces_and_scores(results: PairResults) -> None:
    page = Page(pair_report(results))
    scores = [float(e.attributes["data-value"]) for e in page.all("span", class_="score")]
    wanted = [score for mated in (False, True) for _, score in results.worst(12, mated=mated)]
    assert scores == wanted
    assert len(page.all("img")) == 2 * len(scores)
    assert "person0/0.png" in page.all("section", id="worst")[0].words


def test_without_faces_there_is_neither_face_nor_name(rich: PairResults, searches: OpenSetResults) -> None:
    for html in (pair_report(rich, faces=False), open_set_report(searches, faces=False)):
        page = Page(html)
        assert not page.all("img")
        assert "data:image" not in html
        assert ".png" not in html
        assert "sample 1" in page.all("section", id="worst")[0].words


def test_images_that_are_gone_leave_their_place_empty(tmp_path: Path) -> None:
    table = pairs_table(tmp_path)
    results = evaluate_pairs(fake_recognizer(), read_pairs(table), uncertainty=FEW)
    for image in tmp_path.glob("person0/*.png"):
        image.unlink()
    page = Page(pair_report(results))
    assert page.all("div", class_="gone")
    assert page.all("img")


def test_names_that_are_no_utf8(results: PairResults) -> None:
    samples = tuple(replace(s, name=f"\udcff{s.name}") for s in results.protocol.samples)
    html = pair_report(replace(results, protocol=replace(results.protocol, samples=samples)))
    html.encode("utf-8")


def test_no_intervals(tmp_path: Path) -> None:
    none = Uncertainty(replicates=0)
    html = pair_report(evaluate_pairs(fake_recognizer(), read_pairs(pairs_table(tmp_path)), uncertainty=none))
    assert "data-low" not in html
    assert "Band:" not in html


def test_another_spaces_calibration_is_left_out(results: PairResults) -> None:
    assert "plot-reliability" not in pair_report(results, calibration=calibration("other@12345678"))


def test_open_set(searches: OpenSetResults) -> None:
    html = open_set_report(searches)
    page = Page(html)
    assert_nothing_external(html, page)
    assert_accessible(page)
    found = searches.to_json()
    assert_equal_to_json(page, found["figures"])
    assert {e.attributes["id"] for e in page.all("figure")} == {"plot-tpir", "plot-cmc", "plot-scores"}
    assert "no face 1" in page.all("section", id="setup")[0].words
    cells = {float(e.attributes["data-value"]) for e in page.all("td") if "data-value" in e.attributes}
    splits = [f["value"] for split in found["splits"] for f in split["figures"] if f["unit"] == "rate"]
    assert {value for value in splits if value is not None} <= cells


def test_several_runs_over_each_other(results: PairResults, tmp_path: Path) -> None:
    runs = []
    for number in range(3):
        stored = results.to_json()
        stored["run"]["space"] = f"{EVIL}{number}"
        shift = np.random.default_rng(number).normal(0, 0.1, len(stored["trials"]["scores"]))
        stored["trials"]["scores"] = (np.asarray(stored["trials"]["scores"]) + number * shift).tolist()
        (tmp_path / f"{number}.json").write_text(json.dumps(stored))
        runs.append(read_run(tmp_path / f"{number}.json"))
    compared = [compare_runs(runs[0], run, FEW) for run in runs[1:]]
    html = comparison_report(compared, FEW)
    page = Page(html)
    assert_nothing_external(html, page)
    assert_accessible(page)
    assert "<script" not in html
    assert len(page.all("table")) == 4
    rows = [e for e in page.all("tr") if "data-figure" in e.attributes]
    wanted = [row for one in compared for row in one.to_json()["figures"]]
    assert [row.attributes["data-figure"] for row in rows] == [row["name"] for row in wanted]
    for row, figure in zip(rows, wanted, strict=True):
        shown = {name: float(row.attributes[f"data-{name}"]) for name in ("a", "b", "value", "low", "high", "p")}
        interval = figure["interval"]
        assert shown == {
            "a": figure["a"],
            "b": figure["b"],
            "value": figure["difference"],
            "low": interval["low"],
            "high": interval["high"],
            "p": figure["p"],
        }
    labels = page.all("figure", id="plot-det")[0].words
    assert all(f"{letter}: {EVIL}" in labels for letter in "ABC")


def test_runs_that_do_not_belong_together(results: PairResults, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(results.to_json()))
    a, again = read_run(tmp_path / "a.json"), read_run(tmp_path / "a.json")
    with pytest.raises(BadInput, match="got 0"):
        comparison_report([], FEW)
    with pytest.raises(BadInput, match="several first runs"):
        comparison_report([compare_runs(a, again, FEW), compare_runs(again, a, FEW)], FEW)


def test_a_split_that_lacks_a_rank_keeps_its_columns(searches: OpenSetResults) -> None:
    first, second = searches.splits
    fewer = replace(second, figures=tuple(f for f in second.figures if f.name != "rank_1"))
    for splits in ((first, fewer), (fewer, first)):
        html = open_set_report(replace(searches, splits=splits), faces=False)
        body = html[html.index("<caption>By split") :]
        lines = [line for line in body[: body.index("</table>")].splitlines() if line.startswith('<tr><th scope="row"')]
        assert {line.count("<td") for line in lines} == {body[: body.index("</thead>")].count('<th scope="col"') - 1}
