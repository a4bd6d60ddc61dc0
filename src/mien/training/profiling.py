"""What a network costs: numbers it stores, multiplications of one image, and how long one takes in ONNX Runtime.

A MAC is one multiplication with its addition in a convolution or a linear layer; all else (normalizations, slopes,
additions, pooling) is left out, as is the custom in papers. Some of them call the same number "FLOPs".
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import BadInput
from mien.runtimes import RuntimeOptions, load_network

if TYPE_CHECKING:
    from mien.training.backbones import Backbone

__all__ = ["Latency", "Profile", "count_backbone", "count_onnx", "measure", "profile_backbone", "profile_onnx"]

_WARM_RUNS = 3
_WEIGHTS_FROM = 2  # axes from which on an initializer of a graph is a weight, whatever its type


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one image takes, in milliseconds.

    Attributes:
        threads: of ONNX Runtime.
        median_ms: half of the runs took longer.
        p95_ms: one run in twenty took longer.
    """

    threads: int
    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a network costs.

    Attributes:
        name: of the network, the card or the file.
        size: side of its image in pixels.
        parameters: weights that it stores; running means and variances do not count.
        macs: of one image; None where a file does not tell the shapes inside it.
        latencies: one for each number of threads.
    """

    name: str
    size: int
    parameters: int
    macs: int | None
    latencies: tuple[Latency, ...]


def count_backbone(backbone: Backbone) -> tuple[int, int]:
    """Parameters and MACs of a network, counted while an image goes through it."""
    import torch
    from torch import Tensor, nn

    macs = 0

    def count(module: nn.Module, _given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += made.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            macs += made.numel() * module.in_features

    training = backbone.training
    backbone.eval()
    counted = [module for module in backbone.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(count) for module in counted]
    try:
        with torch.inference_mode():
            backbone(torch.zeros(1, 3, backbone.size, backbone.size))
    finally:
        for hook in hooks:
            hook.remove()
        backbone.train(training)
    return sum(parameter.numel() for parameter in backbone.parameters()), macs


def count_onnx(file: Path, size: int) -> tuple[int, int | None]:
    """Parameters and MACs of an ONNX file as it stands, with what was folded or rewritten in it.

    Args:
        file: the model.
        size: side of the image, where the file leaves it open.

    Returns:
        Weights stored, and MACs of one image; None where the shapes inside cannot be told.

    Raises:
        BadInput: it is no ONNX file with one image input.
    """
    import onnx

    try:
        model = onnx.load(str(file))
        weights = {each.name: tuple(each.dims) for each in model.graph.initializer}
        image = _image_input(model.graph, weights, file)
        for dim, length in zip(image.type.tensor_type.shape.dim, (1, 3, size, size), strict=True):
            dim.dim_value = length
        for each in model.graph.output:
            each.type.tensor_type.ClearField("shape")
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except BadInput:
        raise
    except Exception as error:  # protobuf and onnx raise several unrelated types for the same "not ONNX"
        raise BadInput(f"{file}: expected an ONNX file: {str(error).splitlines()[0]}") from error
    shapes = {each.name: _lengths(each) for each in (*graph.value_info, *graph.output)}
    parameters = sum(
        math.prod(each.dims)
        for each in model.graph.initializer
        if len(each.dims) >= _WEIGHTS_FROM or each.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    )
    macs = 0
    for node in graph.node:
        if node.op_type not in {"Conv", "ConvTranspose", "Gemm", "MatMul"}:
            continue
        weight, made = weights.get(node.input[1]), shapes.get(node.output[0])
        if weight is None or made is None or any(length < 1 for length in made):
            return parameters, None
        macs += _macs(node, weight, made, shapes)
    return parameters, macs


def measure(file: Path, size: int, threads: Sequence[int], *, runs: int = 50, seconds: float = 5.0) -> list[Latency]:
    """How long one image takes in ONNX Runtime.

    Args:
        file: the model.
        size: side of the image.
        threads: numbers of threads to try.
        runs: at most so many for each.
        seconds: no further run is begun after so long.

    Raises:
        RuntimeFailed: ONNX Runtime refuses the file or the image.
    """
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)
    found = []
    for count in threads:
        network = load_network(file, RuntimeOptions(threads=count))
        for _ in range(_WARM_RUNS):
            network.run(image)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < runs and (not times or time.perf_counter() < end):
            begun = time.perf_counter()
            network.run(image)
            times.append((time.perf_counter() - begun) * 1000)
        found.append(Latency(count, float(np.median(times)), float(np.percentile(times, 95))))
    return found


def profile_backbone(name: str, *, dimension: int = 512, threads: Sequence[int] | None = None, **how: Any) -> Profile:
    """Cost of one of mien's networks; its latency is that of the ONNX file which an export would write.

    Args:
        name: see ``mien.training.backbones.BACKBONES``.
        dimension: numbers in a feature vector.
        threads: as for ``measure``; None for 1 and one a core, empty for no measuring.
        how: ``runs`` and ``seconds`` of ``measure``.

    Raises:
        BadSettings: there is no such network.
    """
    from mien.training.backbones import build_backbone
    from mien.training.onnx_files import write_onnx

    backbone = build_backbone(name, dimension=dimension)
    parameters, macs = count_backbone(backbone)
    latencies: list[Latency] = []
    counts = _threads(threads)
    if counts:
        with tempfile.TemporaryDirectory(prefix="mien-profile-") as folder:
            file = Path(folder) / "network.onnx"
            write_onnx(backbone, file)
            latencies = measure(file, backbone.size, counts, **how)
    return Profile(name, backbone.size, parameters, macs, tuple(latencies))


def profile_onnx(
    file: Path, *, name: str | None = None, size: int | None = None, threads: Sequence[int] | None = None, **how: Any
) -> Profile:
    """Cost of an ONNX file.

    Args:
        file: the model, ready to run.
        name: what to call it; None for the file's name.
        size: side of the image; None for what the file says.
        threads: as for ``profile_backbone``.
        how: as for ``profile_backbone``.

    Raises:
        BadInput: it is no ONNX file with one image input, or ``size`` is needed or another than the file's.
        RuntimeFailed: ONNX Runtime refuses it.
    """
    import onnx

    if not file.is_file():
        raise BadInput(f"expected an ONNX file, there is none at {file}")
    try:
        graph = onnx.load(str(file)).graph
    except Exception as error:  # protobuf raises several unrelated types for the same "not ONNX"
        raise BadInput(f"{file}: expected an ONNX file: {str(error).splitlines()[0]}") from error
    image = _image_input(graph, {each.name: () for each in graph.initializer}, file)
    height, width = _lengths(image)[2:]
    if height != width:
        raise BadInput(f"{file}: expected a square image, got one of {width} × {height}")
    if size is None and height < 1:
        raise BadInput(f"{file}: takes images of any size; say which to measure (--size)")
    if size is not None and height > 0 and size != height:
        raise BadInput(f"{file}: takes images of {height} pixels, got {size}")
    side = height if size is None else size
    parameters, macs = count_onnx(file, side)
    return Profile(name or file.name, side, parameters, macs, tuple(measure(file, side, _threads(threads), **how)))


def _threads(threads: Sequence[int] | None) -> list[int]:
    return sorted({1, os.cpu_count() or 1}) if threads is None else list(threads)


def _image_input(graph: Any, weights: Any, file: Path) -> Any:
    """The one input of four axes that is no weight."""
    inputs = [each for each in graph.input if each.name not in weights]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise BadInput(f"{file}: expected one input of shape (n, 3, h, w), got {[each.name for each in inputs]}")
    return inputs[0]


def _lengths(value: Any) -> tuple[int, ...]:
    """Lengths of the axes, 0 where one is open."""
    return tuple(dim.dim_value if dim.HasField("dim_value") else 0 for dim in value.type.tensor_type.shape.dim)


def _macs(node: Any, weight: tuple[int, ...], made: tuple[int, ...], shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type == "Conv":
        return math.prod(made) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes.get(node.input[0], (0,))) * math.prod(weight[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return math.prod(made) * (weight[-1] if transposed else weight[-2])
