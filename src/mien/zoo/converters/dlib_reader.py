"""Read a network that dlib wrote with ``serialize``: its bytes in, a list of layers out.

dlib writes what its C++ types say, so the file names no types: integers are a length-and-sign byte and
as many little-endian bytes, floats are two integers (mantissa, binary exponent), tensors are four sizes and
raw float32. A network is nested from its loss inward: every layer writes a version and then the layer it
sits on, down to the input; after that, innermost first, every layer writes what it holds. Formats from
dlib's ``serialize.h``, ``float_details.h``, ``dnn/core.h`` and ``dnn/layers.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ldexp, prod
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mien.errors import BadCard
from mien.types import FloatArray

__all__ = ["Add", "Affine", "Convolution", "Dense", "Layer", "Mark", "Network", "Pool", "Relu", "read_network"]

# Versions in the file: what tells a layer from a wrapper without content, and both from the innermost layer.
_WRAPPER, _LAYER, _INNERMOST = 1, 2, 3
_LOSS_VERSION, _TENSOR_VERSION, _ALIAS_VERSION = 1, 2, 1
_WITHOUT_BIAS = 1
_MAX_STRING = 64


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution (cross-correlation) with bias.

    Attributes:
        weights: ``(out, in, rows, columns) float32``.
        biases: ``(out,) float32``.
        stride: step along rows and columns.
        padding: zeros added on both sides of the rows and of the columns.
    """

    weights: FloatArray
    biases: FloatArray
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``gamma * x + beta`` by channel, ``(channels,) float32`` both: a batch normalization made constant."""

    gamma: FloatArray
    beta: FloatArray


@dataclass(frozen=True, slots=True)
class Relu:
    """``max(x, 0)``."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling: ``kind`` is "max" or "avg"; a window of ``(0, 0)`` is the whole picture."""

    kind: str
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A tag (remembers its input) or a skip (goes back to a tag); the file does not say which."""


@dataclass(frozen=True, slots=True)
class Add:
    """The sum with a tagged layer; the smaller is padded with zeros to the larger in every dimension."""


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A matrix product without bias, ``weights (in, out) float32``; the input is flattened."""

    weights: FloatArray


Layer: TypeAlias = "Convolution | Affine | Relu | Pool | Mark | Add | Dense"


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it stands in the file.

    Attributes:
        mean_rgb: what is subtracted from the red, green and blue of a 0..255 pixel; the rest is divided by 256.
        size_hw: rows and columns of the input.
        layers: from the input to the output, the loss left out.
    """

    mean_rgb: tuple[float, float, float]
    size_hw: tuple[int, int]
    layers: tuple[Layer, ...]


class _Reader:
    """A place in a file, and dlib's primitive types from there on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.place = 0

    def refuse(self, expected: str, found: object) -> BadCard:
        return BadCard(f"{self.path}: byte {self.place}: expected {expected}, found {found}")

    def take(self, count: int, what: str) -> bytes:
        left = len(self.data) - self.place
        if count > left:
            raise self.refuse(f"{count} bytes of {what}", f"the end of the file after {left}")
        self.place += count
        return self.data[self.place - count : self.place]

    def integer(self) -> int:
        head = self.take(1, "an integer's head")[0]
        length = head & 0x0F
        if head & 0x70 or not 1 <= length <= 8:
            self.place -= 1
            raise self.refuse("an integer of 1 to 8 bytes", f"a head of 0x{head:02x}")
        value = int.from_bytes(self.take(length, "an integer"), "little")
        return -value if head & 0x80 else value

    def integers(self, count: int) -> tuple[int, ...]:
        return tuple(self.integer() for _ in range(count))

    def pair(self) -> tuple[int, int]:
        return self.integer(), self.integer()

    def size(self) -> int:
        value = self.integer()
        if value < 0:
            raise self.refuse("a size", value)
        return value

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        if not -2000 < exponent < 1000:  # dlib writes infinity and NaN as exponents from 32000 on
            raise self.refuse("a finite number", f"{mantissa} * 2^{exponent}")
        return ldexp(mantissa, exponent)

    def flag(self) -> bool:
        character = self.take(1, "a flag")
        if character not in (b"0", b"1"):
            raise self.refuse("a flag, '0' or '1'", character)
        return character == b"1"

    def string(self) -> str:
        length = self.size()
        if length > _MAX_STRING:
            raise self.refuse(f"a name of at most {_MAX_STRING} bytes", f"one of {length}")
        return self.take(length, "a name").decode("ascii", errors="replace")

    def version(self, expected: int, what: str) -> None:
        found = self.integer()
        if found != expected:
            raise self.refuse(f"{what}, version {expected}", f"version {found}")

    def tag(self, *expected: str) -> str:
        found = self.string()
        if found not in expected:
            raise self.refuse("one of " + ", ".join(expected), repr(found))
        return found

    def tensor(self) -> FloatArray:
        """Four dimensions: samples, channels, rows, columns."""
        self.version(_TENSOR_VERSION, "a tensor")
        shape = tuple(self.size() for _ in range(4))
        values = np.frombuffer(self.take(4 * prod(shape), "a tensor"), "<f4").astype(np.float32).reshape(shape)
        if not np.isfinite(values).all():
            raise self.refuse("a tensor of finite numbers", "NaN or infinity")
        return values

    def alias(self) -> tuple[int, ...]:
        """The shape of a part of a layer's parameters."""
        self.version(_ALIAS_VERSION, "a tensor's alias")
        return tuple(self.size() for _ in range(4))

    def split(self, parameters: FloatArray, *shapes: tuple[int, ...]) -> list[FloatArray]:
        """A layer's parameters, which are one long tensor, cut into the given shapes."""
        counts = [prod(shape) for shape in shapes]
        if sum(counts) != parameters.size:
            raise self.refuse(f"{sum(counts)} parameters for shapes {shapes}", parameters.size)
        pieces = np.split(parameters.reshape(-1), np.cumsum(counts)[:-1])
        return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def read_network(path: Path) -> Network:
    """Read the network in a dlib file.

    Args:
        path: a file that dlib wrote from a network with the loss ``loss_metric_2``, the input
            ``input_rgb_image_sized`` and the layers that this module knows.

    Raises:
        BadCard: the file is something else, is cut off, or goes on after the network; the message says where.
    """
    reader = _Reader(path)
    reader.version(_LOSS_VERSION, "a dlib network with a loss")
    reader.tag("loss_metric_2")
    reader.real()  # the margin and the distance threshold matter in training only
    reader.real()

    versions = [reader.integer()]
    while versions[-1] != _INNERMOST:
        if versions[-1] not in (_WRAPPER, _LAYER):
            raise reader.refuse(f"a layer of version {_WRAPPER}, {_LAYER} or {_INNERMOST}", f"version {versions[-1]}")
        versions.append(reader.integer())

    reader.tag("input_rgb_image_sized")
    mean_rgb = (reader.real(), reader.real(), reader.real())
    size_hw = reader.pair()

    layers: list[Layer] = []
    for version in reversed(versions):
        if version == _WRAPPER:
            layers.append(Mark())
            continue
        layers.append(_read_layer(reader))
        for _ in range(3):  # whether set up, gradient stale, output kept: states of training
            reader.flag()
        for _ in range(3):  # gradients and the cached output, empty in a published model
            reader.tensor()
        if version == _INNERMOST:
            reader.integer()  # samples a picture; no part of the function
    if reader.place != len(reader.data):
        raise reader.refuse("the end of the file", f"{len(reader.data) - reader.place} more bytes")
    return Network(mean_rgb, size_hw, tuple(layers))


def _read_layer(reader: _Reader) -> Layer:
    tag = reader.tag("con_4", "affine_", "relu_", "max_pool_2", "avg_pool_2", "add_prev_", "fc_2")
    if tag == "con_4":
        return _read_convolution(reader)
    if tag == "affine_":
        parameters = reader.tensor()
        gamma, beta = reader.split(parameters, reader.alias(), reader.alias())
        reader.integer()  # by channel or by position: the shapes say the same
        if gamma.shape != (1, gamma.size, 1, 1) or beta.shape != gamma.shape:
            raise reader.refuse("an affine layer by channel", f"shapes {gamma.shape} and {beta.shape}")
        return Affine(gamma.reshape(-1), beta.reshape(-1))
    if tag in ("max_pool_2", "avg_pool_2"):
        return Pool(tag[:3], reader.pair(), reader.pair(), reader.pair())
    if tag == "fc_2":
        return _read_dense(reader)
    return Relu() if tag == "relu_" else Add()


def _read_convolution(reader: _Reader) -> Convolution:
    parameters = reader.tensor()
    filters, window, stride, padding = reader.integer(), reader.pair(), reader.pair(), reader.pair()
    weights, biases = reader.split(parameters, reader.alias(), reader.alias())
    for _ in range(4):  # learning rate and weight decay
        reader.real()
    if weights.shape != (filters, weights.shape[1], *window) or biases.shape != (1, filters, 1, 1):
        raise reader.refuse(f"{filters} filters of {window}", f"weights {weights.shape}, biases {biases.shape}")
    return Convolution(weights, biases.reshape(-1), stride, padding)


def _read_dense(reader: _Reader) -> Dense:
    outputs, inputs = reader.pair()
    parameters = reader.tensor()
    weights_shape = reader.alias()
    reader.alias()  # of the biases, of which there are none
    mode = reader.integer()
    for _ in range(4):
        reader.real()
    if mode != _WITHOUT_BIAS:
        raise reader.refuse(f"a dense layer without bias (mode {_WITHOUT_BIAS})", f"mode {mode}")
    (weights,) = reader.split(parameters, weights_shape)
    if weights.shape != (inputs, outputs, 1, 1):
        raise reader.refuse(f"dense weights ({inputs}, {outputs})", weights.shape)
    return Dense(weights.reshape(inputs, outputs))
