from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from card_making import embedder_onnx, scrfd_onnx, tables
from onnx import TensorProto, helper, numpy_helper

from mien.errors import BadCard, BadInput, CacheError, HashMismatch, LicenseRefused
from mien.zoo import add, card, cards, license_accepted, resolve
from mien.zoo.schema import parse_card, to_toml


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_card(path: Path, *without: str, **changes: Any) -> Path:
    given = tables(**changes)
    text = to_toml(parse_card(given, "card"))
    kept = [line for line in text.splitlines() if line.partition(" = ")[0] not in without]
    path.write_text("\n".join(kept), encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "My_Model.onnx"
    path.write_bytes(embedder_onnx())
    return path


@pytest.fixture
def card_path(tmp_path: Path) -> Path:
    return write_card(tmp_path / "card.toml", "sha256", "sources", "dimension", "name")


def test_what_the_card_leaves_out_is_read_from_the_model(model: Path, card_path: Path, cache: Path) -> None:
    added = add(model, card_path, name="mine")
    assert added.name == "mine"
    assert added.file.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert added.file.size_bytes == model.stat().st_size
    assert added.embedding is not None
    assert added.embedding.dimension == 3
    assert card("mine") == added
    assert "mine" in [c.name for c in cards()]
    content = model.read_bytes()
    model.unlink()
    assert resolve(added).read_bytes() == content
    assert resolve(added).is_relative_to(cache)


def test_the_original_replaces_a_damaged_copy(model: Path, card_path: Path) -> None:
    added = add(model, card_path)
    kept = resolve(added)
    kept.write_bytes(b"damaged")
    assert resolve(added) == model


def test_names(model: Path, card_path: Path, tmp_path: Path) -> None:
    assert add(model, str(card_path)).name == "my_model"
    named = write_card(tmp_path / "named.toml", "sha256", name="stated")
    assert add(model, named).name == "stated"
    assert add(model, named, name="given").name == "given"
    for bad in ("Mine", "../mine", "", "a b"):
        with pytest.raises(BadCard, match="name: expected"):
            add(model, card_path, name=bad)
    with pytest.raises(BadCard, match="mien has a card called 'sface'"):
        add(model, card_path, name="sface")
    odd = model.rename(tmp_path / "ä.onnx")
    with pytest.raises(BadCard, match="give it a name"):
        add(odd, card_path)


def test_a_name_stays_with_its_file(model: Path, card_path: Path) -> None:
    first = add(model, card_path, name="mine")
    assert add(model, card_path, name="mine") == first
    changed = onnx.load_model_from_string(embedder_onnx())
    changed.producer_name = "another"
    model.write_bytes(changed.SerializeToString())
    with pytest.raises(BadCard, match="'mine' names another file already"):
        add(model, card_path, name="mine")
    assert card("mine") == first


def test_another_sha256_is_refused(model: Path, tmp_path: Path, cache: Path) -> None:
    stated = write_card(tmp_path / "stated.toml", file__sha256="0" * 64)
    with pytest.raises(HashMismatch, match=f"expected sha256 {'0' * 64}"):
        add(model, stated)
    assert not cache.exists()


def test_another_dimension_is_refused(model: Path, tmp_path: Path) -> None:
    stated = write_card(tmp_path / "stated.toml", "sha256", embedding__dimension=128)
    with pytest.raises(BadCard, match="expected an output of 128 numbers a face, the model has 3"):
        add(model, stated)


def test_a_license_that_is_not_free_needs_a_yes(tmp_path: Path, cache: Path) -> None:
    detector = tmp_path / "scrfd.onnx"
    detector.write_bytes(scrfd_onnx())
    with pytest.raises(LicenseRefused, match=r"mien models add .* --card scrfd --name mine --accept-license"):
        add(detector, "scrfd", name="mine")
    assert not (cache / "cards").exists()
    assert not (cache / "models").exists()
    added = add(detector, "scrfd", name="mine", accept_license=True)
    assert license_accepted(added)
    assert added.family == "scrfd"
    assert added.input.mean == (127.5, 127.5, 127.5)
    assert add(detector, "scrfd", name="mine") == added


def test_the_arcface_template(tmp_path: Path) -> None:
    embedder = tmp_path / "embedder.onnx"
    embedder.write_bytes(embedder_onnx(size=112))
    added = add(embedder, "arcface", accept_license=True)
    assert added.embedding is not None
    assert (added.embedding.dimension, added.input.size, added.family) == (3, 112, "arcface")
    assert added.embedding.points == card("sface").embedding.points  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "template", "message"),
    [
        (b"", "arcface", "no sound ONNX"),
        (b"\x00\xff" * 100, "arcface", "no sound ONNX"),
        (embedder_onnx(size=112)[:40], "arcface", "no sound ONNX"),
        (embedder_onnx(size=64), "arcface", r"expected an input of shape \(n, 3, 112, 112\)"),
        (embedder_onnx(size=112), "scrfd", "expected 9 outputs, the model has 1"),
        (scrfd_onnx(heads=5), "scrfd", "expected 9 outputs, the model has 15"),
        (scrfd_onnx(), "vgg", "no card template is called 'vgg'"),
        (scrfd_onnx(), "vgg.toml", r"vgg\.toml: cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, cache: Path, content: bytes, template: str, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BadCard, match=message):
        add(path, template, accept_license=True)
    assert not cache.exists()


def test_weights_in_a_second_file_are_refused(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((3, 3), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "outside",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [weights],
    )
    path = tmp_path / "model.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, str(path), save_as_external_data=True, location="model.bin", size_threshold=0)
    with pytest.raises(BadCard, match="expected one file with all weights, 1 lie outside it, as 'weights'"):
        add(path, "arcface", accept_license=True)


def test_no_such_model(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(BadInput, match="expected a model file"):
            add(missing, "scrfd")


def test_a_broken_card(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    for text, message in (
        ("file = 3", "file: expected a table, got 3"),
        ("", "task: Field required"),
        ("=", "no TOML"),
    ):
        broken.write_text(text)
        with pytest.raises(BadCard, match=rf"broken\.toml: .*{message}"):
            add(model, broken)


def test_an_unknown_converter(model: Path, tmp_path: Path) -> None:
    stated = write_card(tmp_path / "stated.toml", "sha256", file__converter="lower")
    with pytest.raises(BadCard, match="got 'lower'"):
        add(model, stated)


def test_a_cache_that_cannot_be(model: Path, card_path: Path, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(CacheError, match=str(cache)):
        add(model, card_path)
