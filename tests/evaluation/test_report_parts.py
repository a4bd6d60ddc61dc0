from __future__ import annotations

import numpy as np
import pytest
from report_reading import Page
from trial_making import simulated

from mien.evaluation import ErrorRates, Interval, Uncertainty
from mien.evaluation.report.curves import det_band, det_points, precision_points, thinned
from mien.evaluation.report.drawing import Frame, Line, Mark, draw_histogram, draw_lines
from mien.evaluation.report.wording import origin, percent, short_percent, shown, span, titled


def plain(text: str) -> str:
    """Without the spaces at which no line is broken."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("tmr_at_fmr_1e-3", "TMR at FMR 0.1 %"),
        ("tmr_at_fmr_1e-6", "TMR at FMR 0.0001 %"),
        ("threshold_at_fpir_1e-2", "Threshold at FPIR 1 %"),
        ("fnmr_operating", "FNMR at the operating threshold"),
        ("rank_1", "Rank 1"),
        ("edc_gain_20", "EDC, gain up to 20 % discarded"),
        ("eer", "EER"),
    ],
)
def test_names_for_people(name: str, title: str) -> None:
    assert plain(titled(name)) == title


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100.00 %"),
        (0.99999, "99.999 %"),
        (0.5, "50.00 %"),
        (2e-5, "0.002 %"),
        (1e-9, "1.0 · 10⁻⁷ %"),
    ],
)
def test_percentages_are_never_rounded_to_all_or_nothing(rate: float, text: str) -> None:
    assert plain(percent(rate)) == text


def test_words_for_values() -> None:
    assert plain(short_percent(0.1)) == "10 %"
    assert shown(None, "rate") == "not supported"
    assert shown(12345, "count") == "12,345"
    assert span(None) == ""
    assert plain(span(Interval(0.5, 0.75, 0.95, "wilson"))) == "50.00 to 75.00 %"
    assert span(Interval(1.5, float("inf"), 0.95, "bootstrap"), "ratio") == "1.5 to ∞"
    assert origin("fmr_max_min") == "NIST IR 8429"
    assert origin("fmr_operating") == "ISO/IEC 19795-1"


def test_det_points_are_the_rates_themselves() -> None:
    rates = ErrorRates.of(simulated(0, 20, 3))
    fmr, fnmr = det_points(rates)
    assert (np.diff(fmr) > 0).all()
    for k in (0, len(fmr) // 2, len(fmr) - 1):
        assert rates.fnmr_at_fmr(float(fmr[k])) == fnmr[k]
    between = float(fmr[3] + fmr[4]) / 2
    assert rates.fnmr_at_fmr(between) == fnmr[3]


def test_thinning_keeps_ends_and_steps() -> None:
    x = np.linspace(0, 1, 100_000)
    y = (x > 0.3).astype(np.float64)
    few_x, few_y = thinned(x, y)
    assert len(few_x) < 3000
    assert few_x[0] == 0
    assert few_x[-1] == 1
    np.testing.assert_allclose(np.interp([0.29, 0.31, 0.7], few_x, few_y), [0, 1, 1], atol=1e-9)
    assert few_x[np.flatnonzero(few_y)[0]] == x[np.flatnonzero(y)[0]]
    assert thinned(np.array([0.0, 1e-3, 1]), np.array([1.0, 0.5, 0]), log_x=True, log_y=True)[0].tolist() == [1e-3]


def test_precision_starts_at_the_first_match() -> None:
    recall, precision = precision_points(ErrorRates([0.5, 0.9], [0.1, 0.6]))
    assert set(recall.tolist()) == {0.5, 1}
    assert precision[0] == 1
    assert precision[-1] == 0.5


def test_the_band_holds_the_curve() -> None:
    trials = simulated(1, 30, 3)
    band = det_band(trials, Uncertainty(30))
    assert band is not None
    places, low, high = band
    rates = ErrorRates.of(trials)
    middle = np.array([rates.fnmr_at_fmr(min(float(place), 1.0)) for place in places])
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert det_band(trials, Uncertainty(0)) is None


def test_drawings_of_little() -> None:
    one = np.array([0.5])
    plot = draw_histogram("h", "Scores", [("a", one), ("b", one)], [Mark("t", 0.5)], description="Two <b> scores.")
    (drawing,) = Page(str(plot.svg)).all("svg")
    assert drawing.attributes["aria-label"] == "Scores. Two <b> scores."
    none = np.empty(0)
    plot = draw_lines("l", "Lines", Frame("x", "<y> $z$"), [Line("", none, none)], description="Nothing at all.")
    assert "<y> $z$" in Page(str(plot.svg)).all("svg")[0].words


def test_equal_names_in_two_drawings_do_not_clash() -> None:
    ends = np.array([0.0, 1.0])
    pages = [
        Page(str(draw_lines(name, "Line", Frame("x", "y"), [Line("", ends, ends)], description="A line.").svg))
        for name in ("one", "two")
    ]
    first, second = ({e.attributes["id"] for e in page.elements if "id" in e.attributes} for page in pages)
    assert first
    assert not first & second
