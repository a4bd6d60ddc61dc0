"""ONNX to a faster, plain float32 ONNX: the same function, written so that every runtime is quick at it.

What is rewritten, each step leaving the output equal to within float32 rounding:

- block-quantized weights (``DequantizeLinear`` with ``block_size``) become float32 tensors, and weights
  listed as graph inputs become constants, since runtimes fold only constants;
- ``BatchNormalization`` goes into the convolution or matrix product beside it, ``Dropout`` goes away;
- ``PRelu`` with one slope a channel becomes ``a*x + (1-a)*relu(x)``, as two depthwise 1x1 convolutions
  and a sum: ONNX Runtime has no fast PRelu in its blocked layout, and leaves that layout to run one;
- the batch axis becomes free, as does the picture size of fully convolutional detectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadCard

__all__ = ["convert"]

_FREE_SIZE_MIN_OUTPUTS = 2
Array = NDArray[Any]


@dataclass
class _Graph:
    """An ONNX graph under rewriting: nodes in order, constants by name."""

    nodes: list[Any]
    constants: dict[str, Array]
    outputs: list[str]
    fresh: int = 0
    users: dict[str, list[Any]] = field(default_factory=dict)

    def index(self) -> None:
        """Find anew who uses which value."""
        self.users = {}
        for node in self.nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def only_user(self, value: str) -> Any:
        """The one node that uses ``value``, or None where there are several or it is an output."""
        users = self.users.get(value, [])
        return users[0] if len(users) == 1 and value not in self.outputs else None

    def constant(self, stem: str, array: Array) -> str:
        """Add a constant under a new name."""
        self.fresh += 1
        name = f"{stem}/folded_{self.fresh}"
        self.constants[name] = array
        return name

    def bypass(self, node: Any) -> None:
        """Drop a node, its users reading its first input instead."""
        self.nodes.remove(node)
        source, target = node.input[0], node.output[0]
        for user in self.nodes:
            user.input[:] = [source if name == target else name for name in user.input]
        self.index()


def convert(source: Path, destination: Path) -> None:
    """Rewrite the ONNX file ``source`` into ``destination``.

    Args:
        source: any ONNX file; what the steps above do not apply to stays as it is.
        destination: where the result is written (overwritten if present).

    Raises:
        BadCard: the file is no ONNX graph with one image input.
    """
    import onnx

    try:
        model = onnx.load(str(source))
    except Exception as error:  # protobuf raises several unrelated types for the same "not ONNX"
        raise BadCard(f"{source}: not an ONNX file ({error})") from error
    try:
        converted = _rewritten(model, source)
        onnx.checker.check_model(converted)
    except BadCard:
        raise
    except Exception as error:  # a graph in a form that the rewriting does not know, whatever it then trips over
        raise BadCard(f"{source}: this graph cannot be rewritten ({error})") from error
    onnx.save(converted, str(destination))


def _rewritten(model: Any, source: Path) -> Any:
    """The model after all steps."""
    from onnx import AttributeProto, helper, numpy_helper

    graph = model.graph
    if model.functions or any(
        a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for n in graph.node for a in n.attribute
    ):
        raise BadCard(f"{source}: expected a plain graph, got one with functions, branches or loops")
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    read = {name for node in graph.node for name in node.input}
    inputs = [i for i in graph.input if i.name not in constants and i.name in read]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise BadCard(f"{source}: expected one (N, C, H, W) input, got {[i.name for i in inputs]}")
    work = _Graph(list(graph.node), constants, [o.name for o in graph.output])
    _collect_constants(work)
    _fold_constant_nodes(work)
    work.index()
    for node in [n for n in work.nodes if n.op_type in {"Dropout", "Identity"}]:
        if node.output[0] not in work.outputs:
            work.bypass(node)
    _fold_batchnorms(work)
    _rewrite_prelus(work)
    gained_an_axis = _free_batch(work)
    _free_resizes(work, model)

    used = {name for node in work.nodes for name in node.input}
    for value, shape in [(inputs[0], ("n", 3, None, None)), *((o, ("n",)) for o in graph.output)]:
        if gained_an_axis and value is not inputs[0]:
            dims = value.type.tensor_type.shape.dim
            width = dims[-1].dim_value
            del dims[:]
            for size in ("n", None, width):
                dims.add(**({"dim_value": size} if isinstance(size, int) else {"dim_param": size or f"{value.name}_1"}))
        _free_shape(value, shape, free_size=len(graph.output) >= _FREE_SIZE_MIN_OUTPUTS)
    result = helper.make_graph(
        work.nodes,
        graph.name or "mien",
        inputs,
        list(graph.output),
        [numpy_helper.from_array(array, name) for name, array in work.constants.items() if name in used],
    )
    converted = helper.make_model(result, opset_imports=model.opset_import, producer_name="mien")
    converted.ir_version = max(model.ir_version, 4)  # from 4 on, constants need not be graph inputs
    return converted


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _collect_constants(work: _Graph) -> None:
    """Move ``Constant`` nodes among the constants."""
    from onnx import numpy_helper

    for node in [n for n in work.nodes if n.op_type == "Constant" and n.attribute[0].name == "value"]:
        work.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        work.nodes.remove(node)


def _fold_constant_nodes(work: _Graph) -> None:
    """Compute what depends on constants alone: dequantized weights and their reshapes."""
    kept = []
    for node in work.nodes:
        arrays = [work.constants.get(name) for name in node.input]
        if node.op_type == "DequantizeLinear" and all(a is not None for a in arrays):
            work.constants[node.output[0]] = _dequantize(*arrays, **_attributes(node))  # type: ignore[arg-type]
        elif node.op_type == "Reshape" and arrays[0] is not None and arrays[1] is not None:
            kept_sizes = [int(s) or arrays[0].shape[k] for k, s in enumerate(arrays[1])]  # 0 copies the dimension
            work.constants[node.output[0]] = arrays[0].reshape(kept_sizes)
        else:
            kept.append(node)
    work.nodes = kept


def _dequantize(
    values: Array, scales: Array, zeros: Array | None = None, *, axis: int = 1, block_size: int = 0, **_: Any
) -> Array:
    """ONNX DequantizeLinear (opset 21): ``(values - zeros) * scales`` by tensor, axis or block."""

    def spread(parameter: Array) -> Array:
        if block_size:
            return np.repeat(parameter, block_size, axis=axis).take(range(values.shape[axis]), axis=axis)
        if parameter.ndim == 1:
            return parameter.reshape([-1 if k == axis % values.ndim else 1 for k in range(values.ndim)])
        return parameter

    centered = values.astype(np.float32)
    if zeros is not None:
        centered = centered - spread(zeros).astype(np.float32)
    return np.asarray(centered * spread(scales), dtype=np.float32)


def _fold_batchnorms(work: _Graph) -> None:
    """Fold each BatchNormalization into the Conv or Gemm before it, or the Gemm behind a Flatten after it."""
    producers = {out: node for node in work.nodes for out in node.output}
    for norm in [n for n in work.nodes if n.op_type == "BatchNormalization"]:
        if any(name not in work.constants for name in norm.input[1:]):
            continue
        gamma, beta, mean, variance = (work.constants[name].astype(np.float64) for name in norm.input[1:])
        scale = gamma / np.sqrt(variance + _attributes(norm).get("epsilon", 1e-5))
        shift = beta - mean * scale
        before = producers.get(norm.input[0])
        if before is not None and before.op_type in {"Conv", "Gemm"} and work.only_user(norm.input[0]) is norm:
            if _scale_output(work, before, scale, shift):
                before.output[0] = norm.output[0]
                producers[norm.output[0]] = before
                work.nodes.remove(norm)
                work.index()
            continue
        flatten = work.only_user(norm.output[0])
        gemm = work.only_user(flatten.output[0]) if flatten is not None and flatten.op_type == "Flatten" else None
        if gemm is not None and gemm.op_type == "Gemm" and _scale_input(work, gemm, scale, shift):
            work.bypass(norm)


def _plain_gemm(node: Any) -> bool:
    attributes = _attributes(node)
    return [attributes.get(k, d) for k, d in (("alpha", 1.0), ("beta", 1.0), ("transB", 0))] == [1, 1, 1]


def _scale_output(work: _Graph, node: Any, scale: Array, shift: Array) -> bool:
    """Fold ``y*scale + shift`` into the weights of a Conv or Gemm; False where they are not constant."""
    if node.input[1] not in work.constants or (node.op_type == "Gemm" and not _plain_gemm(node)):
        return False
    bias = np.zeros(len(scale)) if len(node.input) < 3 else work.constants.get(node.input[2])
    if bias is None:
        return False
    weight = work.constants[node.input[1]].astype(np.float64)
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    stem = node.output[0]
    names = [work.constant(stem, weight.astype(np.float32))]
    names.append(work.constant(stem, (bias.reshape(-1) * scale + shift).astype(np.float32)))
    node.input[:] = [node.input[0], *names]
    return True


def _scale_input(work: _Graph, gemm: Any, scale: Array, shift: Array) -> bool:
    """Fold ``x*scale + shift`` by channel into a Gemm that follows a Flatten of (N, C, H, W)."""
    if any(name not in work.constants for name in gemm.input[1:]) or not _plain_gemm(gemm):
        return False
    weight = work.constants[gemm.input[1]].astype(np.float64)
    area = weight.shape[1] // len(scale)
    bias = work.constants[gemm.input[2]] if len(gemm.input) > 2 else np.zeros(len(weight))
    shifted = bias + weight @ np.repeat(shift, area)
    stem = gemm.output[0]
    names = [work.constant(stem, (weight * np.repeat(scale, area)).astype(np.float32))]
    names.append(work.constant(stem, shifted.astype(np.float32)))
    gemm.input[:] = [gemm.input[0], *names]
    return True


def _rewrite_prelus(work: _Graph) -> None:
    """Write each PRelu of one slope a channel as ``a*x + (1-a)*relu(x)`` in depthwise convolutions."""
    from onnx import helper

    rewritten = []
    for node in work.nodes:
        slope = work.constants.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1) or len(slope) == 1:
            rewritten.append(node)
            continue
        x, y = node.input[0], node.output[0]
        kernel = slope.astype(np.float32).reshape(-1, 1, 1, 1)
        depthwise: dict[str, Any] = {"group": len(kernel), "kernel_shape": [1, 1]}
        linear, rest = work.constant(y, kernel), work.constant(y, 1 - kernel)
        rewritten += [
            helper.make_node("Relu", [x], [f"{y}/relu"]),
            helper.make_node("Conv", [x, linear], [f"{y}/linear"], **depthwise),
            helper.make_node("Conv", [f"{y}/relu", rest], [f"{y}/rest"], **depthwise),
            helper.make_node("Add", [f"{y}/linear", f"{y}/rest"], [y]),
        ]
    work.nodes = rewritten
    work.index()


def _free_batch(work: _Graph) -> bool:
    """Let a Reshape that fixes a batch of one keep whatever batch comes in; whether an output gained an axis."""
    producers = {out: node for node in work.nodes for out in node.output}
    mixed = False
    for node in work.nodes:
        shape = work.constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or len(shape) < 2:
            continue
        mixing = producers.get(node.input[0]) if len(shape) == 2 and shape[0] == -1 else None
        if mixing is not None and mixing.op_type == "Transpose" and _attributes(mixing)["perm"] == [2, 3, 0, 1]:
            # Cells, then images: right for one image alone. InsightFace's exports of SCRFD do so.
            mixing.attribute[0].ints[:] = [0, 2, 3, 1]
            node.input[1] = work.constant(node.output[0], np.asarray([0, -1, int(shape[1])], np.int64))
            mixed = True
        elif shape[0] == 1:
            kept = [0, *(-1 if len(shape) == 2 and size != -1 else int(size) for size in shape[1:])]
            node.input[1] = work.constant(node.output[0], np.asarray(kept, np.int64))
    return mixed


def _free_resizes(work: _Graph, model: Any) -> None:
    """Let a Resize to fixed sizes scale by the ratio that these sizes had to its input."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*graph.value_info, *graph.input]}
    for node in work.nodes:
        sizes = work.constants.get(node.input[3]) if node.op_type == "Resize" and len(node.input) > 3 else None
        known = shapes.get(node.input[0], []) if sizes is not None else []
        if sizes is not None and len(known) == len(sizes) and all(known):
            scales = np.asarray([1.0, *(float(s) / k for s, k in zip(sizes[1:], known[1:], strict=True))], np.float32)
            node.input[:] = [*node.input[:2], work.constant(node.output[0], scales)]


def _free_shape(value: Any, names: tuple[str | int | None, ...], *, free_size: bool) -> None:
    """Name the batch axis, and for detectors the other free axes, in a value's declared shape."""
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if axis == 0:
            dim.dim_param = "n"
        elif free_size and (len(names) == 1 or names[axis] is None) and axis < 4:
            last = axis == len(value.type.tensor_type.shape.dim) - 1
            if not (len(names) == 1 and last):
                dim.dim_param = f"{value.name}_{axis}"
