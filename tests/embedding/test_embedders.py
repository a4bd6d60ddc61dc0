from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from mien.embedding import make_embedder
from mien.errors import BadCard, BadInput
from mien.images.samples import Samples
from mien.runtimes import Network, RuntimeOptions, load_network
from mien.testing import FakeNetwork
from mien.types import FloatArray
from mien.zoo import accept_license, add, card, resolve


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
