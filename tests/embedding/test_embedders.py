from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from mien.embedding import FusedEmbedder, make_embedder
from mien.errors import BadCard, BadInput
from mien.images.samples import Samples
from mien.runtimes import Network, RuntimeOptions, load_network
from mien.testing import FakeNetwork
from mien.types import FloatArray
from mien.zoo import accept_license, add, card, part_cards, resolve


def network(name: str) -> Network:
    return load_network(resolve(card(name)), RuntimeOptions())


def noise(n: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["sface", "dlib-resnet"])
def test_a_batch_equals_its_items(name: str) -> None:
    facts = card(name)
    embedder = make_embedder(facts, network(name))
    chips = noise(19, embedder.chip_size)
    together = embedder.embed(chips)
    assert together.space == facts.space
    assert together.vectors.shape == (19, embedder.dimension)
    for k in (0, 7, 18):
        np.testing.assert_allclose(embedder.embed(chips[k : k + 1]).vectors[0], together.vectors[k], atol=1e-5)
    assert len(embedder.embed(chips[:0])) == 0


def test_the_mirror_makes_no_difference_to_a_flipped_template() -> None:
    embedder = make_embedder(card("sface"), network("sface"), flip=True)
    chips = noise(2, 112)
    a, b = embedder.embed(chips), embedder.embed(np.ascontiguousarray(chips[:, :, ::-1]))
    np.testing.assert_allclose(a.vectors, b.vectors, atol=1e-5)
    assert a.space == card("sface").space.replace("sface@", "sface+flip@")


def fused(flip: bool = False) -> FusedEmbedder:
    parts = [make_embedder(part, network(part.name), flip=flip) for part in part_cards(card("accurate"))]
    return FusedEmbedder(card("accurate"), parts, flip=flip)


def test_a_fused_score_is_the_weighted_mean_of_the_scores_of_its_parts(samples: Samples) -> None:
    faces = [samples.obama[0], samples.obama[1], samples.biden]
    both = mien.Recognizer(mien.Settings(embedder="accurate"))
    joined = np.concatenate([a.templates.vectors for a in both.analyze(faces, largest=True)])
    weights = [part.weight for part in card("accurate").parts]
    mean = np.zeros((3, 3))
    for name, weight in zip(("sface", "dlib-resnet"), weights, strict=True):
        single = mien.Recognizer(mien.Settings(embedder=name)).analyze(faces, largest=True)
        vectors = np.concatenate([a.templates.vectors for a in single])
        mean += weight * (vectors @ vectors.T)
    # The parts' chips are cut out of a common one: drawn twice, they are a little softer.
    np.testing.assert_allclose(joined @ joined.T, mean, atol=0.03)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-6)


def test_the_part_that_looks_closest_gets_its_chip_as_it_would_alone(samples: Samples) -> None:
    pair = [samples.obama[0], samples.biden]
    common = mien.Recognizer(mien.Settings(embedder="accurate")).analyze(pair, largest=True)
    alone = mien.Recognizer(mien.Settings(embedder="dlib-resnet")).analyze(pair, largest=True)
    weight = card("accurate").parts[1].weight
    for together, single in zip(common, alone, strict=True):
        part = together.templates.vectors[0, 128:] / np.sqrt(weight)
        np.testing.assert_allclose(part, single.templates.vectors[0], atol=2e-4)


def test_a_fused_batch_equals_its_items() -> None:
    embedder = fused()
    chips = noise(11, embedder.chip_size)
    together = embedder.embed(chips)
    assert together.space == card("accurate").space
    for k in (0, 10):
        np.testing.assert_allclose(embedder.embed(chips[k : k + 1]).vectors[0], together.vectors[k], atol=1e-5)
    assert embedder.embed(chips[:0]).vectors.shape == (0, 256)
    assert fused(flip=True).space.startswith("accurate+flip@")


def test_a_fused_embedder_refuses_other_chips_and_other_parts() -> None:
    with pytest.raises(BadInput, match="expected chips uint8"):
        fused().embed(noise(2, 112))
    with pytest.raises(BadCard, match="expected a fused embedder"):
        FusedEmbedder(card("sface"), [])
    with pytest.raises(BadCard, match="expected 2 parts"):
        FusedEmbedder(card("accurate"), [make_embedder(card("sface"), network("sface"))])


def test_sface_equals_opencv(real: mien.Recognizer, samples: Samples, tmp_path: Path) -> None:
    """OpenCV's own recognizer on the same chips, where this OpenCV can load the file."""
    found = real.analyze([samples.obama[0], samples.biden], largest=True)
    try:
        theirs = cv2.FaceRecognizerSF.create(str(resolve(card("sface"))), "")
    except (AttributeError, cv2.error) as error:
        pytest.skip(f"this OpenCV cannot load SFace: {str(error).splitlines()[0]}")
    for analysis in found:
        raw = theirs.feature(np.ascontiguousarray(analysis.chips.pixels[0][..., ::-1])).ravel()
        assert float(raw @ analysis.templates.vectors[0] / np.linalg.norm(raw)) > 0.9999


@pytest.mark.data
def test_an_arcface_card_equals_a_plain_script(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    model = data_root.parent / "models" / "mobilefacenet.onnx"
    added = add(model, "arcface", name="mobilefacenet", accept_license=True)
    accept_license(added)
    embedder = make_embedder(added, load_network(resolve(added), RuntimeOptions()))
    chips = noise(4, 112)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    ours = embedder.embed(chips)
    for k, chip in enumerate(chips):
        pixels = (chip.astype(np.float32) - added.input.mean[0]) * added.input.scale
        blob = pixels.transpose(2, 0, 1)[None].astype(np.float32)
        raw = np.asarray(session.run(None, {session.get_inputs()[0].name: blob})[0]).ravel()
        np.testing.assert_allclose(ours.vectors[k], raw / np.linalg.norm(raw), atol=1e-5)


def test_bad_chips_cards_and_outputs_are_refused() -> None:
    def two(batch: FloatArray) -> list[FloatArray]:
        return [np.ones((len(batch), 7), np.float32)]

    embedder = make_embedder(card("sface"), FakeNetwork(two))
    for bad in (np.zeros((1, 100, 100, 3), np.uint8), np.zeros((112, 112, 3), np.uint8), np.zeros((1, 112, 112, 3))):
        with pytest.raises(BadInput, match=r"expected chips uint8 \(n, 112, 112, 3\)"):
            embedder.embed(bad)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="images are for analyze"):
        embedder.embed("photo.jpg")  # type: ignore[arg-type]
    with pytest.raises(BadCard, match=r"expected one output \(n, 128\)"):
        embedder.embed(noise(1, 112))
    with pytest.raises(BadCard, match="expected an embedder"):
        make_embedder(card("yunet"), FakeNetwork(two))
