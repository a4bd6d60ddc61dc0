from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import BadImage, BadInput, NoFace
from mien.images import ImageSource
from mien.images.samples import Samples
from mien.recognizer.pairing import paired_templates
from mien.testing import FakeDetector, FakeEmbedder, draw_face


def test_both_see_the_same_face(samples: Samples, real: mien.Recognizer, tmp_path: Path) -> None:
    other = mien.Recognizer(mien.Settings(embedder="dlib-resnet"))
    blank = np.zeros((100, 100, 3), np.uint8)
    sources: list[ImageSource] = [samples.obama[0], blank, samples.group, tmp_path / "absent.jpg"]
    found = [outcome.result for outcome in paired_templates(real, other, sources)]
    assert isinstance(found[1], NoFace)
    assert isinstance(found[3], BadImage)
    for place in (0, 2):
        pair = found[place]
        assert isinstance(pair, tuple)
        for recognizer, templates in zip((real, other), pair, strict=True):
            wanted = recognizer.analyze(sources[place], largest=True).templates
            assert templates.space == recognizer.space
            np.testing.assert_allclose(templates.vectors, wanted.vectors, atol=1e-5)


def test_other_detection_is_refused() -> None:
    recognizers = [
        mien.Recognizer(mien.Settings(min_face=size), detector=FakeDetector(), embedder=FakeEmbedder())
        for size in (40, 60)
    ]
    with pytest.raises(BadInput, match="same detection"):
        next(paired_templates(recognizers[0], recognizers[1], []))


def test_many_images_pass_through_in_order() -> None:
    settings = mien.Settings(batch=4)
    old, new = (mien.Recognizer(settings, detector=FakeDetector(), embedder=FakeEmbedder(s)) for s in ("a@0", "b@0"))
    images = []
    for k in range(11):
        images.append(np.full((80, 80, 3), 20, np.uint8))
        draw_face(images[-1], (10, 10, 60, 60), (255, 20 * k, 0))
    pairs = [outcome.result for outcome in paired_templates(old, new, images)]
    assert len(pairs) == 11
    for image, pair in zip(images, pairs, strict=True):
        assert isinstance(pair, tuple)
        np.testing.assert_array_equal(pair[0].vectors, pair[1].vectors)
        np.testing.assert_array_equal(pair[0].vectors, old.analyze(image).templates.vectors)
