from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import BadInput, CalibrationNotFound, SpaceMismatch
from mien.images.samples import Samples
from mien.matching.calibration import Calibration, CalibrationFacts, Tail, default_calibration_path
from mien.testing import FakeDetector, FakeEmbedder, draw_face
from mien.types import ImageArray

PEOPLE = {"red": (255, 10, 10), "green": (10, 255, 10), "blue": (10, 10, 255), "pale": (250, 200, 190)}


def photo(*names: str) -> ImageArray:
    image = np.full((120, 260, 3), 20, np.uint8)
    for k, name in enumerate(names):
        draw_face(image, (10 + 60 * k, 20, 50 + 60 * k - 4 * k, 60 - 4 * k), PEOPLE[name])
    return image


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A likelihood ratio of e^(20 (score - 0.8))."""
    facts = CalibrationFacts("toys", 20, 60, 60, 10_000, 0.1, 0.09, "by hand", "2026-01-01", {})
    Calibration(
        space=FakeEmbedder().space,
        scores=np.array([-1.0, 1.0]),
        llrs=np.array([-36.0, 4.0]),
        rates=np.array([0.1, 0.001]),
        thresholds=np.array([0.5, 0.9]),
        tail=Tail(0.9, 0.001, 0.01),
        points=(),
        facts=facts,
    ).save(tmp_path / "fake.json")
    return tmp_path / "fake.json"


@pytest.fixture
def rec(file: Path) -> mien.Recognizer:
    settings = mien.Settings(batch=3, calibration=file)
    return mien.Recognizer(settings, detector=FakeDetector(), embedder=FakeEmbedder())


def test_without_a_calibration_there_is_no_probability() -> None:
    plain = mien.Recognizer(detector=FakeDetector(), embedder=FakeEmbedder())
    assert plain.calibration is None
    assert plain.verify(photo("red"), photo("red")).probability is None
    with pytest.raises(CalibrationNotFound, match="fake@00000000"):
        plain.threshold_at(fmr=0.01)
    with mien.open_gallery("memory:") as gallery:
        plain.enroll(gallery, "Red", photo("red"))
        assert plain.identify(gallery, photo("red"))[0][0].probability is None


def test_a_damaged_file_in_the_cache_bars_only_who_asks_for_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    place = default_calibration_path(FakeEmbedder().space)
    place.parent.mkdir(parents=True)
    place.write_text(file.read_text()[:200])
    rec = mien.Recognizer(detector=FakeDetector(), embedder=FakeEmbedder())
    assert len(rec.detect(photo("red"))) == 1
    with pytest.raises(BadInput, match="make it anew with mien calibrate"):
        rec.verify(photo("red"), photo("red"))
    with pytest.raises(BadInput, match="make it anew"):
        _ = rec.calibration
    place.write_text(file.read_text())
    assert rec.verify(photo("red"), photo("red")).probability is not None


def test_a_threshold_that_is_no_number_is_refused(rec: mien.Recognizer) -> None:
    """It would let nothing match, and say so of one person's two photos."""
    with pytest.raises(BadInput, match="threshold: expected a number or None, got NaN"):
        rec.verify(photo("red"), photo("red"), threshold=float("nan"))


def test_verify_gives_a_probability(rec: mien.Recognizer) -> None:
    same, other = rec.verify(photo("red"), photo("red")), rec.verify(photo("red"), photo("green"))
    assert same.probability == pytest.approx(1 / (1 + np.exp(-20 * (same.score - 0.8))), abs=1e-6)
    assert other.probability is not None
    assert same.probability is not None
    assert other.probability < same.probability
    at = rec.threshold_at(fmr=0.001)
    assert at == pytest.approx(0.9)
    assert rec.verify(photo("red"), photo("red"), threshold=at).threshold == at


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/people.db"])
def test_candidates_probabilities_are_the_same_alone_and_in_a_batch(
    url: str, rec: mien.Recognizer, tmp_path: Path
) -> None:
    photos = [photo("red"), photo("green", "blue"), photo(), photo("blue", "red", "green"), photo("pale")]
    with mien.open_gallery(url.format(tmp_path)) as gallery:
        for name in ("red", "green", "blue"):
            rec.enroll(gallery, name, [photo(name), photo(name)])
        together = rec.identify(gallery, photos, top=3, threshold=-1)
        assert together == [rec.identify(gallery, p, top=3, threshold=-1) for p in photos]
        (best, *others), *_ = together[0]
        assert best.identity == "red"
        # Six templates are enrolled: even prior odds for each of them and for a stranger.
        assert best.probability == pytest.approx(1 / (1 + 6 * np.exp(-20 * (best.score - 0.8))), abs=1e-6)
        assert all(o.probability is not None and o.probability < 0.5 for o in others)
        # What else is asked for does not change it.
        (alone,) = rec.identify(gallery, photos[0], top=1, threshold=0.5)[0]
        assert alone == best
        rec.enroll(gallery, "pale", photo("pale"))
        (later,) = rec.identify(gallery, photos[0])[0]
        assert later.score == best.score
        assert later.probability is not None
        assert best.probability is not None
        assert later.probability < best.probability


def test_back_ends_agree(rec: mien.Recognizer, tmp_path: Path) -> None:
    found = []
    for url in ("memory:", f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db?codec=int8"):
        with mien.open_gallery(url) as gallery:
            for name in ("red", "green", "blue"):
                rec.enroll(gallery, name, photo(name))
            found.append(rec.identify(gallery, photo("red", "blue"), top=3, threshold=-1))
    assert found[0] == found[1] == found[2]


def test_several_galleries_count_together(rec: mien.Recognizer) -> None:
    from mien.galleries import GalleryGroup

    with mien.open_gallery("memory:?name=a") as a, mien.open_gallery("memory:?name=b") as b:
        rec.enroll(a, "red", photo("red"))
        rec.enroll(b, "green", photo("green"))
        rec.enroll(b, "blue", photo("blue"))
        (match,) = rec.identify(GalleryGroup([a, b]), photo("red"))[0]
        assert match.gallery == "a"
        assert match.probability == pytest.approx(1 / (1 + 3 * np.exp(-20 * (match.score - 0.8))), abs=1e-6)


def test_thresholds_by_rate(rec: mien.Recognizer) -> None:
    with mien.open_gallery("memory:") as gallery:
        assert rec.threshold_at(fpir=0.1, gallery=gallery) == pytest.approx(0.5)
        for name in ("red", "green", "blue"):
            rec.enroll(gallery, name, photo(name))
        grown = rec.threshold_at(fpir=0.1, gallery=gallery)
        assert grown == pytest.approx(rec.threshold_at(fmr=1 - 0.9 ** (1 / 3)))
        assert grown > 0.5
        for rates in ({}, {"fmr": 0.1, "fpir": 0.1}):
            with pytest.raises(BadInput, match="either fmr or fpir"):
                rec.threshold_at(gallery=gallery, **rates)
        for rate in (0.0, 2.0, float("nan")):
            with pytest.raises(BadInput, match="rate"):
                rec.threshold_at(fmr=rate)
    with pytest.raises(BadInput, match="gallery"):
        rec.threshold_at(fpir=0.1)


def test_another_spaces_calibration_is_refused(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    replace(Calibration.load(file), space="other@11111111").save(other)
    for path, error in ((other, SpaceMismatch), (tmp_path / "absent.json", BadInput)):
        settings = mien.Settings(calibration=path)
        with pytest.raises(error):
            mien.Recognizer(settings, detector=FakeDetector(), embedder=FakeEmbedder())
    with pytest.raises(SpaceMismatch, match="sface"):
        mien.Recognizer(mien.Settings(calibration=file))


def test_real_faces(real: mien.Recognizer, samples: Samples) -> None:
    same = real.verify(samples.obama[0], samples.obama[1])
    other = real.verify(samples.obama[0], samples.biden)
    assert same.probability is not None
    assert other.probability is not None
    assert same.probability > 0.99
    assert other.probability < 0.2
    rates = [1e-2, 1e-3, 1e-4, 1e-6]
    thresholds = [real.threshold_at(fmr=rate) for rate in rates]
    assert thresholds == sorted(thresholds)
    assert thresholds[1] == pytest.approx(real.threshold, abs=0.02)
