"""Small cards, small ONNX models and a converter to test the model zoo with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mien.zoo import Card
from mien.zoo.schema import parse_card

POINTS = [[20.0, 20.0], [40.0, 20.0], [30.0, 30.0], [22.0, 44.0], [38.0, 44.0]]


def tables(content: bytes = b"weights", **changes: Any) -> dict[str, Any]:
    """A good embedder's card as TOML reads it; ``section__field=value`` changes a field."""
    made: dict[str, Any] = {
        "name": "tiny",
        "task": "embedder",
        "family": "arcface",
        "description": "A card to test with.",
        "file": {"sha256": hashlib.sha256(content).hexdigest(), "sources": []},
        "license": {"id": "CC0-1.0", "commercial": True},
        "input": {"size": 64, "color": "rgb", "mean": [127.5, 127.5, 127.5], "scale": 0.0078125},
        "embedding": {"dimension": 3, "points": POINTS, "threshold": 0.4},
    }
    for key, value in changes.items():
        table, _, field = key.rpartition("__")
        (made[table] if table else made)[field] = value
    return made


def make_card(content: bytes = b"weights", **changes: Any) -> Card:
    """A card for a file of that content."""
    return parse_card(tables(content, **changes), "test card")


def upper(source: Path, destination: Path) -> None:
    """A converter that anyone can check: bytes in upper case."""
    destination.write_bytes(source.read_bytes().upper())


def embedder_onnx(size: int = 64, outputs: int = 1) -> bytes:
    """An ONNX model that gives the mean of each channel: ``(1, 3, size, size)`` to ``(1, 3)``."""
    nodes = [helper.make_node("GlobalAveragePool", ["chips"], ["pooled"])]
    nodes += [helper.make_node("Flatten", ["pooled"], [f"means_{i}"]) for i in range(outputs)]
    return _model(nodes, [1, 3, size, size], {f"means_{i}": [1, 3] for i in range(outputs)})


def scrfd_onnx(heads: int = 3) -> bytes:
    """An ONNX model with outputs as SCRFD has them: scores, boxes and landmarks of ``heads`` strides."""
    widths = {f"{kind}_{i}": width for kind, width in (("s", 1), ("b", 4), ("k", 10)) for i in range(heads)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["chips"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
    ]
    for name, width in widths.items():
        weights = numpy_helper.from_array(np.zeros((3, width), np.float32))
        nodes.append(helper.make_node("Constant", [], [f"w_{name}"], value=weights))
        nodes.append(helper.make_node("MatMul", ["means", f"w_{name}"], [name]))
    return _model(nodes, [1, 3, 64, 64], {name: [1, width] for name, width in widths.items()})


def _model(nodes: list[Any], input_shape: list[int], outputs: dict[str, list[int]]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("chips", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
