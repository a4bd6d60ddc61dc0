from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.errors import BadCard
from mien.types import FloatArray
from mien.zoo.converters.folding import convert

RNG = np.random.default_rng(0)


def save(path: Path, nodes: list[Any], constants: dict[str, Any], output: list[int], *, extra: list[Any] = []) -> Path:  # noqa: B006
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]), *extra],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    onnx.save(model, str(path))
    return path


def run(path: Path, x: FloatArray) -> FloatArray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def norm(n: int, name: str) -> tuple[list[str], dict[str, Any]]:
    values = {f"{name}{k}": RNG.uniform(0.5, 2, n).astype(np.float32) for k in ("g", "b", "m", "v")}
    return list(values), values


def test_norms_prelus_and_dropout_fold_to_the_same_function(tmp_path: Path) -> None:
    before, before_values = norm(4, "n1")
    after, after_values = norm(4, "n2")
    last, last_values = norm(5, "n3")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *before], ["n"]),
        helper.make_node("PRelu", ["n", "slope"], ["p"]),
        helper.make_node("BatchNormalization", ["p", *after], ["q"]),
        helper.make_node("Dropout", ["q"], ["d"]),
        helper.make_node("Flatten", ["d"], ["f"]),
        helper.make_node("Gemm", ["f", "fw", "fb"], ["z"], transB=1),
        helper.make_node("BatchNormalization", ["z", *last], ["y"]),
    ]
    constants = {
        "w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "slope": RNG.uniform(-0.5, 1.5, (4, 1, 1)).astype(np.float32),
        "fw": RNG.normal(size=(5, 256)).astype(np.float32),
        "fb": RNG.normal(size=5).astype(np.float32),
        **before_values,
        **after_values,
        **last_values,
    }
    source = save(tmp_path / "a.onnx", nodes, constants, [1, 5])
    convert(source, tmp_path / "b.onnx")
    kinds = {n.op_type for n in onnx.load(str(tmp_path / "b.onnx")).graph.node}
    assert not kinds & {"BatchNormalization", "PRelu", "Dropout"}
    x = RNG.normal(size=(3, 3, 8, 8)).astype(np.float32)
    together = run(tmp_path / "b.onnx", x)
    for k in range(3):
        np.testing.assert_allclose(together[k : k + 1], run(source, x[k : k + 1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block", [5, 9, 27])
def test_block_quantized_weights_become_float(tmp_path: Path, block: int) -> None:
    quantized = RNG.integers(-128, 128, (4, 27)).astype(np.int8)
    blocks = -(-27 // block)
    scales = RNG.uniform(0.01, 0.1, (4, blocks)).astype(np.float32)
    zeros = RNG.integers(-5, 5, (4, blocks)).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["flat"], axis=1, block_size=block),
        helper.make_node("Reshape", ["flat", "shape"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    constants = {"q": quantized, "s": scales, "z": zeros, "shape": np.asarray([4, 3, 3, 3])}
    # The weight stands among the graph's inputs too, as some exporters leave it.
    extra = [helper.make_tensor_value_info("old_name", TensorProto.FLOAT, [4, 3, 3, 3])]
    convert(save(tmp_path / "a.onnx", nodes, constants, [1, 4, 6, 6], extra=extra), tmp_path / "b.onnx")
    weights = np.empty((4, 27), np.float32)
    for row in range(4):
        for column in range(27):
            b = column // block
            weights[row, column] = (int(quantized[row, column]) - int(zeros[row, b])) * scales[row, b]
    plain = save(
        tmp_path / "c.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        {"w": weights.reshape(4, 3, 3, 3)},
        [1, 4, 6, 6],
    )
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "b.onnx", x), run(plain, x), rtol=1e-5, atol=1e-5)


def test_a_fixed_resize_follows_the_input(tmp_path: Path) -> None:
    nodes = [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")]
    source = save(tmp_path / "a.onnx", nodes, {"sizes": np.asarray([1, 3, 16, 16])}, [1, 3, 16, 16])
    convert(source, tmp_path / "b.onnx")
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    assert run(tmp_path / "b.onnx", x).shape == (2, 3, 16, 16)


def test_a_norm_that_others_read_too_stays_right(tmp_path: Path) -> None:
    names, values = norm(4, "n")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *names], ["n"]),
        helper.make_node("Add", ["n", "c"], ["y"]),
    ]
    constants = {"w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32), **values}
    source = save(tmp_path / "a.onnx", nodes, constants, [1, 4, 6, 6])
    convert(source, tmp_path / "b.onnx")
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "b.onnx", x), run(source, x), rtol=1e-5, atol=1e-5)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"hello")
    with pytest.raises(BadCard, match="ONNX"):
        convert(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_insightface_scrfd_exports_become_batched(tmp_path: Path) -> None:
    """Their heads put cells before images and drop the batch axis: mixed up for two images."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[2, 3, 0, 1]),
        helper.make_node("Reshape", ["t", "shape"], ["y"]),
    ]
    constants = {"w": RNG.normal(size=(8, 3, 3, 3)).astype(np.float32), "shape": np.asarray([-1, 4])}
    source = save(tmp_path / "a.onnx", nodes, constants, [72, 4])
    convert(source, tmp_path / "b.onnx")
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    both = run(tmp_path / "b.onnx", x)
    assert both.shape == (2, 72, 4)
    for k in range(2):
        np.testing.assert_allclose(both[k], run(source, x[k : k + 1]), rtol=1e-5, atol=1e-5)


def test_a_prelu_of_one_slope_stays(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("PRelu", ["c", "a"], ["y"])]
    constants = {"w": RNG.normal(size=(8, 3, 3, 3)).astype(np.float32), "a": np.full((1, 1, 1), 0.25, np.float32)}
    source = save(tmp_path / "a.onnx", nodes, constants, [1, 8, 6, 6])
    convert(source, tmp_path / "b.onnx")
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "b.onnx", x), run(source, x), rtol=1e-5, atol=1e-5)
