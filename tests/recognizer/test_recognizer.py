from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.errors import (
    BadImage,
    BadInput,
    BadSettings,
    ModelNotFound,
    NoFace,
    SeveralFaces,
    SpaceMismatch,
)
from mien.images import ImageSource, load
from mien.images.samples import Samples
from mien.testing import FakeDetector, FakeEmbedder, draw_face
from mien.types import ImageArray

RED, GREEN, BLUE = (255, 10, 10), (10, 255, 10), (10, 10, 255)


def photo(*colors: tuple[int, int, int], size: tuple[int, int] = (200, 120)) -> ImageArray:
    image = np.full((size[1], size[0], 3), 20, np.uint8)
    for k, color in enumerate(colors):
        draw_face(image, (10 + 60 * k, 20, 50 + 60 * k - 4 * k, 60 - 4 * k), color)
    return image


@pytest.fixture
def fake() -> mien.Recognizer:
    return mien.Recognizer(mien.Settings(batch=3), detector=FakeDetector(), embedder=FakeEmbedder())


def assert_same(a: mien.Analysis, b: mien.Analysis) -> None:
    assert a.size_wh == b.size_wh
    assert len(a) == len(b)
    if len(a):
        np.testing.assert_allclose(a.faces.xyxy, b.faces.xyxy, atol=0.01)
        np.testing.assert_allclose(a.templates.vectors, b.templates.vectors, atol=1e-5)


def test_one_in_one_out_a_batch_in_a_list_out(fake: mien.Recognizer) -> None:
    one = photo(RED)
    assert isinstance(fake.detect(one), mien.Faces)
    assert isinstance(fake.analyze(one), mien.Analysis)
    batches: list[object] = [[one], (one,), iter([one]), (x for x in [one]), one[None]]
    for batch in batches:
        result = fake.analyze(batch)  # type: ignore[call-overload]
        assert isinstance(result, list)
        assert len(result) == 1
    empty: list[ImageSource] = []
    assert fake.analyze(empty) == []
    none: object = fake.detect(np.empty((0, 9, 9, 3), np.uint8))
    assert none == []


def test_no_face_is_no_error(fake: mien.Recognizer) -> None:
    assert len(fake.detect(photo())) == 0
    analysis = fake.analyze(photo())
    assert len(analysis) == len(analysis.templates) == len(analysis.chips) == 0


def test_errors_keep_their_places(fake: mien.Recognizer, tmp_path: Path) -> None:
    sources: list[ImageSource] = [photo(RED), b"no image", photo(GREEN), tmp_path / "missing.jpg", photo()]
    found = fake.analyze(sources, errors="return")
    assert [type(f).__name__ for f in found] == ["Analysis", "BadImage", "Analysis", "BadImage", "Analysis"]
    with pytest.raises(BadImage, match="image bytes"):
        fake.analyze(sources)
    assert isinstance(fake.detect(b"no image", errors="return"), BadImage)
    with pytest.raises(BadInput, match="errors"):
        fake.detect(photo(), errors="ignore")  # type: ignore[call-overload]


def test_the_order_of_results_is_that_of_the_images(fake: mien.Recognizer) -> None:
    sizes = [(100 + 7 * k, 90) for k in range(11)]
    found = fake.analyze([photo(RED, size=s) for s in sizes])
    assert [f.size_wh for f in found] == sizes


def test_streams_are_lazy_and_bounded(fake: mien.Recognizer) -> None:
    taken: list[int] = []

    def sources() -> Iterator[ImageSource]:
        for k in range(1000):
            taken.append(k)
            yield photo(RED)

    stream = fake.iter_analyze(sources())
    next(stream)
    assert len(taken) <= 3 * fake.settings.batch
    stream.close()  # type: ignore[attr-defined]


def test_bgr_arrays_and_files(fake: mien.Recognizer) -> None:
    rgb = photo(RED)
    a = fake.analyze(rgb)
    b = fake.analyze(np.ascontiguousarray(rgb[..., ::-1]), color="bgr")
    np.testing.assert_array_equal(a.templates.vectors, b.templates.vectors)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    np.testing.assert_array_equal(fake.analyze(file.getvalue()).templates.vectors, a.templates.vectors)


def test_largest_gives_one_face(fake: mien.Recognizer) -> None:
    image = photo(RED, GREEN, BLUE)
    assert len(fake.detect(image)) == 3
    assert len(fake.detect(image, largest=True)) == 1
    assert fake.analyze(image, largest=True).faces.areas[0] == fake.detect(image).areas.max()


def test_verify(fake: mien.Recognizer) -> None:
    same, other = fake.verify(photo(RED), photo(RED)), fake.verify(photo(RED), photo(GREEN))
    assert same.match
    assert same.score == pytest.approx(1, abs=1e-6)
    assert same.probability is None
    assert same.space == "fake@00000000"
    assert not other.match
    assert fake.verify(photo(RED), photo(GREEN), threshold=-1).match
    with pytest.raises(NoFace, match="found none"):
        fake.verify(photo(), photo(RED))
    with pytest.raises(SeveralFaces, match="found 2"):
        fake.verify(photo(RED), photo(RED, GREEN))
    assert fake.verify(photo(RED), photo(RED, GREEN), face="largest").match
    with pytest.raises(BadInput, match="face"):
        fake.verify(photo(RED), photo(RED), face="first")  # type: ignore[arg-type]


def test_a_zero_threshold_is_a_threshold(fake: mien.Recognizer) -> None:
    assert fake.verify(photo(RED), photo(GREEN), threshold=0.0).threshold == 0.0
    settings = mien.Settings(threshold=0.0)
    assert mien.Recognizer(settings, detector=FakeDetector(), embedder=FakeEmbedder()).threshold == 0.0


def test_enroll_and_identify(fake: mien.Recognizer) -> None:
    with mien.open_gallery("memory:") as gallery:
        one = fake.enroll(gallery, "Ada", photo(RED))
        assert (one.identity, len(gallery)) == ("Ada", 1)
        many = fake.enroll(gallery, "Bob", [photo(GREEN), photo(GREEN)])
        assert [e.identity for e in many] == ["Bob", "Bob"]
        found = fake.identify(gallery, photo(GREEN, RED), top=2)
        assert [[m.identity for m in face] for face in found] == [["Bob"], ["Ada"]]
        assert found[0][0].rank == 1
        assert fake.identify(gallery, photo(BLUE)) == [[]]
        assert [m.identity for m in fake.identify(gallery, photo(BLUE), top=5, threshold=-1)[0]] != []
        assert fake.identify(gallery, photo()) == []
        listed = fake.identify(gallery, [photo(RED), photo()])
        assert len(listed) == 2


def test_an_enrollment_is_whole_or_not_at_all(fake: mien.Recognizer) -> None:
    with mien.open_gallery("memory:") as gallery:
        with pytest.raises(NoFace):
            fake.enroll(gallery, "Ada", [photo(RED), photo()])
        assert len(gallery) == 0
        kept = fake.enroll(gallery, "Ada", [photo(RED), photo()], errors="return")
        assert [type(k).__name__ for k in kept] == ["Enrollment", "NoFace"]
        assert len(gallery) == 1


def test_enrolling_a_stream(fake: mien.Recognizer) -> None:
    items = [("Ada", photo(RED)), ("Bob", photo()), ("Cy", photo(BLUE)), ("Di", photo(GREEN))]
    with mien.open_gallery("memory:") as gallery:
        outcomes = list(fake.iter_enroll(gallery, items))
        assert [type(o.result).__name__ for o in outcomes] == ["Enrollment", "NoFace", "Enrollment", "Enrollment"]
        assert gallery.identities() == [("Ada", 1), ("Cy", 1), ("Di", 1)]


def test_spaces_do_not_mix(fake: mien.Recognizer) -> None:
    other = mien.Recognizer(detector=FakeDetector(), embedder=FakeEmbedder("other@11111111"))
    with mien.open_gallery("memory:") as gallery:
        fake.enroll(gallery, "Ada", photo(RED))
        with pytest.raises(SpaceMismatch):
            other.identify(gallery, photo(RED))
        with pytest.raises(SpaceMismatch):
            other.enroll(gallery, "Ada", photo(RED))
    with pytest.raises(SpaceMismatch):
        other.compare(fake.analyze(photo(RED)).templates, fake.analyze(photo(RED)).templates)


def test_unknown_models_fail_at_once() -> None:
    with pytest.raises(ModelNotFound, match="sfase"):
        mien.Recognizer(mien.Settings(embedder="sfase"))


def test_settings_come_from_arguments_variables_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mien.toml"
    file.write_text("min_face = 77\nmin_score = 0.5\n")
    monkeypatch.setenv("MIEN_SETTINGS", str(file))
    monkeypatch.setenv("MIEN_MIN_SCORE", "0.7")
    settings = mien.Settings(batch=5)
    assert (settings.min_face, settings.min_score, settings.batch) == (77, 0.7, 5)
    file.write_text("min_fase = 77\n")
    with pytest.raises(BadSettings, match="min_fase: no such setting; known: detector"):
        mien.Settings()


def test_wrong_variables_fail_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_EMBEDDR", "sface")
    with pytest.raises(BadSettings, match="unknown variables MIEN_EMBEDDR"):
        mien.Settings()
    monkeypatch.delenv("MIEN_EMBEDDR")
    monkeypatch.setenv("MIEN_PROVIDERS", "CPUExecutionProvider")
    with pytest.raises(BadSettings, match=r"providers.*expected JSON"):
        mien.Settings()


@pytest.mark.parametrize(
    "wrong",
    [{"min_fase": 1}, {"min_face": 0}, {"min_face": "big"}, {"precision": "bf16"}, {"batch": 0}, {"runtime": "x"}],
)
def test_wrong_settings_fail_loudly(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSettings, match=next(iter(wrong))):
        mien.Settings(**wrong)


def test_real_people(real: mien.Recognizer, samples: Samples) -> None:
    assert real.verify(samples.obama[0], samples.obama[1]).match
    assert not real.verify(samples.obama[0], samples.biden).match
    assert len(real.detect(samples.group)) == 6
    dlib = mien.Recognizer(mien.Settings(embedder="dlib-resnet"))
    assert dlib.verify(samples.obama[0], samples.obama[1]).match
    assert not dlib.verify(samples.obama[0], samples.biden).match


def test_real_batches_equal_single_images(real: mien.Recognizer, sample_photos: list[Path]) -> None:
    alone = [real.analyze(p) for p in sample_photos]
    for size in (1, 2, 7):
        settings = mien.Settings(batch=size)
        batched = mien.Recognizer(settings, detector=real.detector, embedder=real.embedder)
        order = np.random.default_rng(size).permutation(len(alone))
        for k, found in zip(order, batched.analyze([sample_photos[k] for k in order]), strict=True):
            assert_same(alone[k], found)


def test_many_threads_share_one_recognizer(real: mien.Recognizer, samples: Samples) -> None:
    photos = [samples.obama[1], samples.group, samples.astronaut]
    alone = [real.analyze(p) for p in photos]
    with ThreadPoolExecutor(8) as pool:
        for k, found in enumerate(pool.map(lambda k: real.analyze(photos[k % 3]), range(16))):
            assert_same(alone[k % 3], found)


@pytest.mark.parametrize("size", [(4000, 4000), (3001, 2003), (2561, 1793)])
def test_a_scaled_decoding_moves_no_box(samples: Samples, tmp_path: Path, size: tuple[int, int]) -> None:
    """A large JPEG, decoded small for detection, gives the faces of its full decoding; detect gives analyze's."""
    large = Image.open(samples.astronaut).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=92)
    recognizer = mien.Recognizer(mien.Settings(min_face=-1))
    file, full = recognizer.analyze(tmp_path / "large.jpg"), recognizer.analyze(load(tmp_path / "large.jpg"))
    assert len(file) == len(full) == 1
    assert np.abs(file.faces.xyxy - full.faces.xyxy).max() <= 1
    assert float(file.templates.vectors[0] @ full.templates.vectors[0]) > 0.99
    np.testing.assert_array_equal(recognizer.detect(tmp_path / "large.jpg").xyxy, file.faces.xyxy)


def test_an_image_that_fails_late_fails_alone() -> None:
    class Picky(FakeEmbedder):
        def embed(self, chips: ImageArray) -> mien.Templates:
            if any((chip[16, 16] == GREEN).all() for chip in chips):
                raise BadInput("no green people")
            return super().embed(chips)

    picky = mien.Recognizer(detector=FakeDetector(), embedder=Picky())
    found = picky.analyze([photo(RED), photo(GREEN), photo(BLUE)], errors="return")
    assert [type(f).__name__ for f in found] == ["Analysis", "BadInput", "Analysis"]


def test_a_missing_model_is_raised_once_and_no_images_fault() -> None:
    asked: list[int] = []

    class Missing(FakeEmbedder):
        def embed(self, chips: ImageArray) -> mien.Templates:
            asked.append(1)
            raise ModelNotFound("no such file")

    broken = mien.Recognizer(detector=FakeDetector(), embedder=Missing())
    with pytest.raises(ModelNotFound):
        broken.analyze([photo(RED), photo(GREEN)], errors="return")
    assert asked == [1]


def test_an_error_leaves_no_decoding_threads(fake: mien.Recognizer) -> None:
    for _ in range(3):
        with pytest.raises(BadImage):
            fake.analyze([photo(RED), b"no image", *[photo(RED)] * 5])
    assert not [t for t in threading.enumerate() if t.name.startswith("mien-decode")]


def test_openvino_recognizes_the_same_people(real: mien.Recognizer, samples: Samples) -> None:
    other = mien.Recognizer(mien.Settings(runtime="openvino"))
    for source in (samples.obama[0], samples.group):
        a, b = real.analyze(source), other.analyze(source)
        np.testing.assert_allclose(a.faces.xyxy, b.faces.xyxy, atol=0.01)
        assert (a.templates.vectors * b.templates.vectors).sum(axis=1).min() > 0.9999


def test_a_wrong_face_choice_is_no_image_error(fake: mien.Recognizer) -> None:
    with mien.open_gallery("memory:") as gallery, pytest.raises(BadInput, match="face"):
        fake.enroll(gallery, "Ada", [photo(RED)], errors="return", face="first")  # type: ignore[call-overload]
