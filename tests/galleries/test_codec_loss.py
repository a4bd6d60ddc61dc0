from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from gallery_cases import faces

from mien.errors import GalleryError
from mien.galleries import Gallery, open_gallery
from mien.galleries.codec_loss import measure_codec_loss
from mien.matching import dequantize, quantize


def filled(people: int = 30, each: int = 3) -> Gallery:
    gallery = open_gallery("memory:")
    for k in range(people):
        gallery.add(f"p{k:02}", faces(each, seed=k, dimension=8))
    return gallery


def test_it_is_what_a_slow_comparison_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.galleries.codec_loss._TILE", 7)
    gallery = filled()
    names = [name for name, count in gallery.identities() for _ in range(count)]
    vectors = np.concatenate([gallery.templates(name)[1].vectors for name, _ in gallery.identities()])
    coded = dequantize(quantize(vectors))
    errors, changed, best = [], 0, 0
    for i in range(90):
        others = [j for j in range(90) if names[i] != names[j]]
        exact = [float(vectors[i] @ vectors[j]) for j in others]
        coarse = [float(vectors[i] @ coded[j]) for j in others]
        errors += [abs(a - b) for a, b in zip(exact, coarse, strict=True)]
        changed += sum((a >= 0.5) != (b >= 0.5) for a, b in zip(exact, coarse, strict=True))
        best += names[others[int(np.argmax(exact))]] != names[others[int(np.argmax(coarse))]]
    loss = measure_codec_loss(gallery, probes=1000, threshold=0.5)
    assert (loss.probes, loss.comparisons, loss.decisions_changed) == (90, 90 * 87, changed)
    assert changed > 0
    assert loss.best_changed == pytest.approx(best / 90)
    assert loss.largest_error == pytest.approx(max(errors), abs=1e-6)
    assert loss.mean_error == pytest.approx(np.mean(errors), abs=1e-6)


def test_probes_are_drawn() -> None:
    gallery = filled()
    loss = measure_codec_loss(gallery, probes=10)
    assert (loss.probes, loss.comparisons) == (10, 870)
    assert (loss.threshold, loss.decisions_changed) == (None, None)
    assert measure_codec_loss(gallery, probes=10).mean_error == loss.mean_error
    assert measure_codec_loss(gallery, probes=10, seed=1).mean_error != loss.mean_error


def test_it_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    measure_codec_loss(filled(people=1500), probes=5, progress=lambda done, total: told.append((done, total)))
    assert (told[0], told[-1]) == ((0, 9000), (9000, 9000))
    assert max(after[0] - before[0] for before, after in pairwise(told)) <= 4096


def test_nothing_to_compare() -> None:
    for people in (0, 1):
        with pytest.raises(GalleryError, match="two identities"):
            measure_codec_loss(filled(people))
    with open_gallery("memory:?codec=int8-only") as gallery, pytest.raises(GalleryError, match="int8 alone"):
        measure_codec_loss(gallery)
