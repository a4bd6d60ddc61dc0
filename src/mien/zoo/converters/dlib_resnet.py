"""dlib's face recognition network as ONNX: the same descriptors, many times faster.

``dlib_face_recognition_resnet_model_v1.dat`` is a residual network. What ONNX has no words for is written so:

- an affine layer goes into the convolution before it (computed in float64);
- dlib adds layers of unequal shapes by padding the smaller with zeros. That becomes a 1x1 convolution which
  copies: filters of zeros give the missing channels, padding at the ends the missing rows and columns. ``Pad``
  would say the same, but ONNX Runtime leaves its blocked layout for it and for the additions around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadCard
from mien.zoo.converters.dlib_reader import Add, Affine, Convolution, Dense, Mark, Network, Pool, Relu, read_network

__all__ = ["convert"]

_INPUT, _OUTPUT = "chips", "descriptors"
_OPSET, _IR_VERSION = 17, 8  # what ONNX Runtime 1.17 and OpenVINO 2024 read
_MEAN_RGB, _SIZE, _DIMENSION = (122.782, 117.001, 104.298), 150, 128

Shape: TypeAlias = tuple[int, int, int]


def convert(source: Path, destination: Path) -> None:
    """Turn dlib's network file into an ONNX graph.

    The graph has one input ``chips``, ``(n, 3, 150, 150) float32`` RGB that is already normalized,
    ``(pixel - (122.782, 117.001, 104.298)) / 256``, and one output ``descriptors``, ``(n, 128) float32``
    as dlib gives them (not of unit norm); n is free.

    Args:
        source: ``dlib_face_recognition_resnet_model_v1.dat``.
        destination: where the ONNX file is written (overwritten if present).

    Raises:
        BadCard: the file is not this network; the message says what was expected and found.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network = read_network(source)
    if network.size_hw != (_SIZE, _SIZE) or not np.allclose(network.mean_rgb, _MEAN_RGB, atol=1e-3):
        found = f"{network.size_hw} with mean {network.mean_rgb}"
        raise BadCard(f"{source}: expected an input of {(_SIZE, _SIZE)} with mean {_MEAN_RGB}, found {found}")
    try:
        build = _build(network)
    except _Misfit as error:
        raise BadCard(f"{source}: {error}") from error

    graph = helper.make_graph(
        build.nodes,
        "dlib_face_recognition_resnet_v1",
        [helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["n", 3, _SIZE, _SIZE])],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["n", _DIMENSION])],
        [numpy_helper.from_array(array, name) for name, array in build.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="mien")
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    onnx.save(model, str(destination))


class _Misfit(Exception):
    """The layers do not fit together."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor of the graph and its channels, rows and columns."""

    name: str
    shape: Shape


@dataclass
class _Build:
    """A graph in the making."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def node(self, operator: str, inputs: list[str], shape: Shape, **attributes: Any) -> _Value:
        from onnx import helper

        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return _Value(name, shape)

    def constant(self, array: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name


def _build(network: Network) -> _Build:
    """Write the layers as ONNX nodes.

    A residual block marks its input and adds it at its end. A block that halves the picture marks its own
    result too, goes back to its input, pools that, and adds the result: two marks in a row.
    """
    build = _Build()
    layers = network.layers
    value = _Value(_INPUT, (3, *network.size_hw))
    marked: list[_Value] = []
    for before, layer, after in zip((None, *layers), layers, (*layers[1:], None), strict=False):
        if isinstance(layer, Convolution):
            value = _convolve(build, value, layer, after if isinstance(after, Affine) else None)
        elif isinstance(layer, Affine):
            if not isinstance(before, Convolution):
                raise _Misfit(f"expected a convolution before an affine layer, found {type(before).__name__}")
        elif isinstance(layer, Relu):
            value = build.node("Relu", [value.name], value.shape)
        elif isinstance(layer, Pool):
            value = _pool(build, value, layer)
        elif isinstance(layer, Mark):
            if not isinstance(before, Mark):
                marked.append(value)
            elif marked:
                value = marked.pop(0)
            else:
                raise _Misfit("expected at most two tags in a row, found more")
        elif isinstance(layer, Add):
            if len(marked) != 1:
                raise _Misfit(f"expected one tagged layer to add, found {len(marked)}")
            value = _add(build, value, marked.pop())
        else:
            value = _multiply(build, value, layer)
    if value.shape != (_DIMENSION, 1, 1) or not isinstance(layers[-1], Dense):
        raise _Misfit(f"expected {_DIMENSION} numbers from a dense layer, found {value.shape}")
    build.nodes[-1].output[0] = _OUTPUT
    return build


def _convolve(build: _Build, value: _Value, layer: Convolution, affine: Affine | None) -> _Value:
    """A convolution, and the affine layer after it in the same weights."""
    weights, biases = layer.weights.astype(np.float64), layer.biases.astype(np.float64)
    if affine is not None:
        if affine.gamma.shape != biases.shape:
            raise _Misfit(f"expected an affine layer of {len(biases)} channels, found {len(affine.gamma)}")
        weights = weights * affine.gamma[:, None, None, None]
        biases = biases * affine.gamma + affine.beta
    filters, channels, *window = weights.shape
    if channels != value.shape[0]:
        raise _Misfit(f"expected a convolution of {value.shape[0]} channels, found {channels}")
    rows, columns = _slide(value, (window[0], window[1]), layer.stride, layer.padding)
    inputs = [value.name, build.constant(weights.astype(np.float32)), build.constant(biases.astype(np.float32))]
    attributes = {"kernel_shape": window, "strides": layer.stride, "pads": (*layer.padding, *layer.padding)}
    return build.node("Conv", inputs, (filters, rows, columns), **attributes)


def _pool(build: _Build, value: _Value, layer: Pool) -> _Value:
    channels = value.shape[0]
    if layer.padding != (0, 0):
        raise _Misfit(f"expected pooling without padding, found {layer}")
    if layer.window == (0, 0):
        operator = "GlobalAveragePool" if layer.kind == "avg" else "GlobalMaxPool"
        return build.node(operator, [value.name], (channels, 1, 1))
    rows, columns = _slide(value, layer.window, layer.stride, layer.padding)
    operator = "AveragePool" if layer.kind == "avg" else "MaxPool"
    attributes = {"kernel_shape": layer.window, "strides": layer.stride}
    return build.node(operator, [value.name], (channels, rows, columns), **attributes)


def _slide(value: _Value, window: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> list[int]:
    """Rows and columns of what a sliding window gives."""
    spaces = [value.shape[axis + 1] + 2 * padding[axis] - window[axis] for axis in (0, 1)]
    if min(*window, *stride) < 1 or min(padding) < 0 or min(spaces) < 0:
        raise _Misfit(f"a window of {window}, stride {stride}, padding {padding} does not fit {value.shape}")
    return [space // step + 1 for space, step in zip(spaces, stride, strict=True)]


def _add(build: _Build, one: _Value, other: _Value) -> _Value:
    """The sum, each side padded with zeros at the end of its dimensions to the larger shape."""
    shape: Shape = tuple(max(pair) for pair in zip(one.shape, other.shape, strict=True))  # type: ignore[assignment]
    return build.node("Add", [_grow(build, one, shape).name, _grow(build, other, shape).name], shape)


def _grow(build: _Build, value: _Value, shape: Shape) -> _Value:
    """``value`` with zeros at the end of its dimensions, up to ``shape``."""
    if value.shape == shape:
        return value
    channels, rows, columns = (wanted - present for wanted, present in zip(shape, value.shape, strict=True))
    copy = np.eye(shape[0], value.shape[0], dtype=np.float32) if channels else np.ones((shape[0], 1), np.float32)
    inputs = [value.name, build.constant(copy[:, :, None, None])]
    groups = 1 if channels else shape[0]
    return build.node("Conv", inputs, shape, kernel_shape=(1, 1), pads=(0, 0, rows, columns), group=groups)


def _multiply(build: _Build, value: _Value, layer: Dense) -> _Value:
    inputs, outputs = layer.weights.shape
    if inputs != value.shape[0] * value.shape[1] * value.shape[2]:
        raise _Misfit(f"expected a dense layer of {value.shape} inputs, found {inputs}")
    flat = build.node("Flatten", [value.name], (inputs, 1, 1))
    return build.node("Gemm", [flat.name, build.constant(layer.weights)], (outputs, 1, 1))
