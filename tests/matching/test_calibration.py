from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import BadInput, CalibrationNotFound, OutputError, SpaceMismatch
from mien.matching.calibration import (
    Calibration,
    CalibrationFacts,
    Tail,
    default_calibration_path,
    find_calibration,
    fmr_of_search,
    require_calibration,
)
from mien.zoo import card, cards

SPACE = "toy@00000000"
POINT = {
    "fmr": 0.01,
    "threshold": 0.2,
    "low": 0.19,
    "high": 0.21,
    "fmr_low": 0.009,
    "fmr_high": 0.011,
    "errors": 100,
    "extrapolated": False,
}
FACTS = CalibrationFacts("toys", 20, 60, 60, 10_000, 0.1, 0.09, "by hand", "2026-01-01", {})


def by_hand(space: str = SPACE) -> Calibration:
    """Score 0 says nothing, 0.5 a likelihood ratio of 100, -0.5 of a hundredth."""
    level = math.log(100)
    return Calibration(
        space=space,
        scores=np.array([-0.5, 0.0, 0.5]),
        llrs=np.array([-level, 0.0, level]),
        rates=np.array([0.1, 0.01, 0.001]),
        thresholds=np.array([0.1, 0.2, 0.3]),
        tail=Tail(0.3, 0.001, 0.02),
        points=(),
        facts=FACTS,
    )


def test_probabilities_by_hand() -> None:
    toy = by_hand()
    np.testing.assert_allclose(toy.llr([-1, -0.25, 0, 0.5, 1]), np.array([-1, -0.5, 0, 1, 1]) * math.log(100))
    np.testing.assert_allclose(toy.probability([-0.5, 0, 0.5]), [1 / 101, 0.5, 100 / 101])
    # Prior odds of 1 to 99 against a likelihood ratio of 100.
    assert float(toy.probability(0.5, prior=0.01)) == pytest.approx(100 / 199)
    assert math.isnan(float(toy.probability(math.nan)))
    assert toy.probability(np.empty((0, 3))).shape == (0, 3)
    for prior in (0, 1, -1, math.nan):
        with pytest.raises(BadInput, match="prior"):
            toy.probability(0.5, prior=prior)


def test_a_score_means_the_same_alone_and_among_others() -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    toy = by_hand()
    alone = [float(toy.candidate_probability(float(s), 7)) for s in scores]
    assert toy.candidate_probability(scores, 7).tolist() == alone
    assert (np.diff(toy.probability(np.sort(scores))) >= 0).all()


def test_the_gallerys_size_is_the_prior() -> None:
    toy = by_hand()
    # One enrolled, or nobody: even odds. A likelihood ratio of 100 among 100 is even odds again.
    assert float(toy.candidate_probability(0.5, 1)) == pytest.approx(100 / 101)
    assert float(toy.candidate_probability(0.5, 100)) == pytest.approx(0.5)
    assert float(toy.candidate_probability(0.5, 10_000)) == pytest.approx(1 / 101)
    for enrolled in (0, math.nan):
        with pytest.raises(BadInput, match="at least 1"):
            toy.candidate_probability(0.5, enrolled)  # type: ignore[arg-type]


def test_candidates_probabilities_are_right_in_a_simulation() -> None:
    """Mated scores N(0.2, 0.1), others N(0, 0.1): what is claimed of candidates is how many of them are right."""
    random = np.random.default_rng(0)
    enrolled, searches = 50, 20_000
    scores = random.normal(0, 0.1, size=(searches, enrolled))
    known = random.integers(enrolled + 1, size=searches)  # the last number: a stranger
    mated = np.arange(enrolled) == known[:, None]
    scores += 0.2 * mated
    toy = replace(by_hand(), scores=np.array([-1.0, 1.0]), llrs=np.array([-22.0, 18.0]))  # 20 score - 2
    claimed = toy.candidate_probability(scores, enrolled)
    best = claimed == claimed.max(1, keepdims=True)
    for low in np.arange(0, 0.9, 0.1):
        inside = (claimed >= low) & (claimed < low + 0.1)
        assert mated[inside].mean() == pytest.approx(claimed[inside].mean(), abs=0.03)
        # Nobody else scored higher, which the claim does not know of: the best candidate is right more often.
        assert mated[inside & best].mean() >= claimed[inside & best].mean() - 0.03


def test_thresholds_in_between_and_past_the_data() -> None:
    toy = by_hand()
    assert [toy.threshold_at(rate) for rate in (0.1, 0.01, 0.001)] == pytest.approx([0.1, 0.2, 0.3])
    assert toy.threshold_at(10**-2.5) == pytest.approx(0.25)
    assert toy.threshold_at(0.3) == pytest.approx(0.1)
    assert toy.threshold_at(1e-5) == pytest.approx(0.3 + 0.02 * math.log(100))
    assert toy.threshold_at(1e-300) == 1.0
    assert not toy.is_extrapolated(0.003)
    assert toy.is_extrapolated(0.0029)
    for rate in (0, -1, 0.6, math.nan):
        with pytest.raises(BadInput, match="false match rate"):
            toy.threshold_at(rate)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"scale": 0.02', '"scale": NaN', "finite numbers, got NaN"),
        ('"scale": 0.02', '"scale": Infinity', "finite numbers, got Infinity"),
        ('"scale": 0.02', '"scale": 1e999', "tail.scale"),
        ('"scale": 0.02', '"scale": 0.02, "scale": 0.03', "once"),
        ('"scale": 0.02', '"scale": 0.02,,', "no JSON"),
    ],
)
def test_only_strict_json_is_read(before: str, after: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    text = by_hand().to_json()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(BadInput, match=f"{message}.*make it anew with mien calibrate"):
        Calibration.load(path)


def test_points_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_text(json.dumps({**json.loads(by_hand().to_json()), "points": [POINT]}))
    (point,) = Calibration.load(path).points
    assert asdict(point) == POINT


def test_a_searchs_rate() -> None:
    assert fmr_of_search(0.01, 1) == pytest.approx(0.01)
    fmr = fmr_of_search(0.01, 1000)
    assert 1 - (1 - fmr) ** 1000 == pytest.approx(0.01)
    assert fmr == pytest.approx(0.01 / 1000, rel=0.01)
    toy = by_hand()
    assert toy.threshold_at_fpir(0.5, 500) == pytest.approx(toy.threshold_at(fmr_of_search(0.5, 500)))
    assert fmr_of_search(0.9, 1) == 0.5
    for rate in (0, 1, math.nan):
        with pytest.raises(BadInput, match="false positive"):
            fmr_of_search(rate, 10)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    by_hand().save(path)
    read = Calibration.load(path)
    assert read.facts == FACTS
    assert read.tail == by_hand().tail
    np.testing.assert_allclose(read.llrs, by_hand().llrs, atol=1e-9)
    with pytest.raises(OutputError):
        by_hand().save(tmp_path / "no folder" / "toy.json")
    with pytest.raises(ValueError, match="read-only"):
        read.llrs[0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "mien calibration 9"}, "newer version"),
        ({"scores": [0.5, 0, 1]}, "rising"),
        ({"scores": "many"}, "damaged"),
        ({"scores": [0, 1]}, "as many as"),
        ({"llrs": [1, 0, -1]}, "never fall"),
        ({"rates": [0.1, 0.01, 0]}, "rates"),
        ({"tail": {"start": 1, "rate": 0.1, "scale": 0}}, "tail"),
        ({"tail": {"start": 1}}, "damaged"),
        ({"points": [{"fmr": 1}]}, "damaged"),
        ({"facts": None}, "damaged"),
        ({"space": 7}, "space"),
        ({"points": [POINT | {"fmr": "0.01"}]}, "points.fmr: expected a finite number, got '0.01'"),
        ({"points": [POINT | {"extrapolated": 0}]}, "points.extrapolated"),
        ({"points": [POINT | {"threshold": 0.5}]}, "between low and high"),
        ({"points": [POINT | {"fmr_high": 2}]}, "points.fmr_high"),
        ({"points": [POINT | {"more": 2}]}, "more"),
        ({"points": {}}, "a list"),
        ({"facts": {**asdict(FACTS), "non_mated": "10000"}}, "facts.non_mated"),
        ({"facts": {**asdict(FACTS), "people": -1}}, "facts.people"),
        ({"facts": {**asdict(FACTS), "versions": {"numpy": 2}}}, "facts.versions"),
        ({"facts": {**asdict(FACTS), "held_out": {"people": 3}}}, "facts.held_out"),
        ({"thresholds": [0.1, 0.2, True]}, "thresholds"),
        ({"thresholds": [0.1, 0.2, 3]}, "in -1..1"),
        ({"llrs": [[1], [2], [3]]}, "llrs"),
        ({"tail": {"start": 10**400, "rate": 0.1, "scale": 1}}, "damaged"),
    ],
)
def test_damaged_files(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_text(json.dumps({**json.loads(by_hand().to_json()), **change}))
    with pytest.raises(BadInput, match=message):
        Calibration.load(path)


def test_other_files(tmp_path: Path) -> None:
    for name, content in (("a", b"\x00\xff"), ("b", b"[1, 2]"), ("c", b"{" * 100_000), ("d", b"[" + b" " * 1_000_001)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match="mien calibrate"):
            Calibration.load(tmp_path / name)
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput, match="mien calibrate"):
            Calibration.load(place)


def test_whose_calibration_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    assert find_calibration(SPACE) is None
    with pytest.raises(CalibrationNotFound, match="mien calibrate"):
        require_calibration(None, SPACE)
    sface = card("sface").space
    shipped = find_calibration(sface)
    assert shipped is not None
    assert shipped.facts.people > 1000
    cached = default_calibration_path(sface)
    assert tmp_path in cached.parents
    cached.parent.mkdir(parents=True)
    by_hand(sface).save(cached)
    found = find_calibration(sface)
    assert found is not None
    assert found.facts.data == "toys"
    own = tmp_path / "own.json"
    replace(by_hand(sface), facts=replace(FACTS, data="own")).save(own)
    found = find_calibration(sface, own)
    assert found is not None
    assert found.facts.data == "own"
    with pytest.raises(SpaceMismatch, match="expected a calibration for toy@00000000, got one for sface"):
        find_calibration(SPACE, own)
    # A file under another space's name is refused, too.
    by_hand().save(cached)
    with pytest.raises(SpaceMismatch):
        find_calibration(sface)


def test_a_space_of_any_name_stays_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    folder = default_calibration_path(SPACE).parent
    for space in ("../../etc/passwd", "a/b", "sface+flip@12345678"):
        assert default_calibration_path(space).parent == folder


@pytest.mark.parametrize("name", sorted(c.name for c in cards() if c.name in ("sface", "dlib-resnet")))
def test_what_is_shipped(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    model = card(name)
    shipped = find_calibration(model.space)
    assert shipped is not None
    assert model.embedding is not None
    facts = shipped.facts
    assert facts.data
    assert facts.date
    assert facts.versions["mien"]
    assert facts.cllr - facts.cllr_min <= 0.02
    assert facts.held_out is not None
    assert facts.held_out.cllr - facts.held_out.cllr_min <= 0.02
    # The card's threshold was measured apart, for a false match rate of 0.001 too.
    assert shipped.threshold_at(1e-3) == pytest.approx(model.embedding.threshold, abs=0.02)
    for point in shipped.points:
        assert shipped.threshold_at(point.fmr) == pytest.approx(point.threshold, abs=1e-6)
        assert point.low <= point.threshold <= point.high
        assert point.extrapolated == shipped.is_extrapolated(point.fmr)
    assert [point.extrapolated for point in shipped.points] == [False] * 4 + [True]
    deep = [shipped.threshold_at(rate) for rate in (1e-6, 1e-7, 1e-8, 1e-9)]
    assert deep == sorted(deep)
    assert float(shipped.probability(1.0)) > 0.9999
    assert float(shipped.probability(-1.0)) < 0.01
