from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.runtimes import RuntimeOptions, load_network
from mien.runtimes.openvino_graph import restore_prelus
from mien.zoo.converters.folding import convert

openvino = pytest.importorskip("openvino")


def save(path: Path, nodes: list[Any], constants: dict[str, Any]) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 9, 9])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None, None, None])
    arrays = [numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def kinds(model: Any) -> list[str]:
    return [op.get_type_name() for op in model.get_ordered_ops()]


def test_prelus_come_back_with_the_same_results(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    constants = {
        "w": draw.normal(size=(6, 3, 3, 3)),
        "a": draw.uniform(-0.5, 1.5, size=(6, 1, 1)),
        "v": draw.normal(size=(4, 6, 1, 1)),
        "b": draw.uniform(0, 1, size=(4, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("PRelu", ["c", "a"], ["p"]),
        helper.make_node("Conv", ["p", "v"], ["d"]),
        helper.make_node("PRelu", ["d", "b"], ["y"]),
    ]
    folded = tmp_path / "folded.onnx"
    convert(save(tmp_path / "prelu.onnx", nodes, constants), folded)
    model = openvino.Core().read_model(str(folded))
    assert "PRelu" not in kinds(model)
    assert restore_prelus(model) == 2
    assert kinds(model).count("PRelu") == 2
    assert "GroupConvolution" not in kinds(model)
    assert [o.get_any_name() for o in model.outputs] == ["y"]

    batch = draw.normal(size=(3, 3, 9, 9)).astype(np.float32)
    ours = load_network(folded, RuntimeOptions("openvino")).run(batch)[0]
    theirs = load_network(folded, RuntimeOptions("onnx")).run(batch)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("rest", "kernel", "rectified", "pads"),
    [
        (0.5, 1, "x", 0),  # factors that do not add up to one
        (0.75, 1, "half", 0),  # another value rectified than the one scaled
        (0.75, 3, "x", 1),  # convolutions over neighbors
        (0.75, 1, "x", 1),  # a border of zeros around the result
    ],
)
def test_what_only_looks_like_a_prelu_stays(
    tmp_path: Path, rest: float, kernel: int, rectified: str, pads: int
) -> None:
    slope, other = np.zeros((3, 1, kernel, kernel)), np.zeros((3, 1, kernel, kernel))
    slope[..., kernel // 2, kernel // 2], other[..., kernel // 2, kernel // 2] = 0.25, rest
    how: dict[str, Any] = {"group": 3, "kernel_shape": [kernel, kernel], "pads": [pads] * 4}
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["half"]),
        helper.make_node("Relu", [rectified], ["r"]),
        helper.make_node("Conv", ["x", "slope"], ["l"], **how),
        helper.make_node("Conv", ["r", "other"], ["s"], **how),
        helper.make_node("Add", ["l", "s"], ["y"]),
    ]
    path = save(tmp_path / "graph.onnx", nodes, {"slope": slope, "other": other, "two": [2.0]})
    model = openvino.Core().read_model(str(path))
    assert restore_prelus(model) == 0
    assert "PRelu" not in kinds(model)
