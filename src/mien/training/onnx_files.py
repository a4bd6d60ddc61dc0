"""From a PyTorch network to an ONNX file, and the proof that the two are one function."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from mien.errors import RuntimeFailed
from mien.runtimes import RuntimeOptions, load_network
from mien.training.backbones import Backbone
from mien.types import FloatArray

__all__ = ["BATCHES", "OPSET", "TOLERANCE", "largest_difference", "rounding", "write_onnx"]

OPSET = 17
"""Version of ONNX's operators that files are written in; ONNX Runtime reads it from 1.12 on."""

TOLERANCE = 1e-4
"""How far a number of a unit template may be from PyTorch's."""

BATCHES = (1, 5)
"""Batch sizes that a file is checked with."""

_INPUT, _OUTPUT = "image", "features"
# What PyTorch's exporter by tracing says of itself at every call; the other one needs the package onnxscript.
_EXPECTED_WARNINGS = (
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed. Please remove usage of this function", DeprecationWarning),
    ("Constant folding - Only steps=1 can be constant folded", UserWarning),
)


def write_onnx(backbone: Backbone, file: Path) -> None:
    """Write a network as an ONNX file of float32, opset ``OPSET``, for any number of images.

    Batch normalizations become part of the convolution or linear layer before them; those in front of a convolution
    stay, as their shift would be wrong at the borders. Each PReLU is written as two convolutions of 1×1, ``a·x +
    (1 - a)·relu(x)``, which ONNX Runtime computes several times as fast.

    Args:
        backbone: the network; it is left as it is.
        file: overwritten if it is there.

    Raises:
        OSError: it cannot be written.
    """
    from mien.zoo.converters import CONVERTERS

    network = copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)
    for module in network.modules():
        linear, norm = getattr(module, "linear", None), getattr(module, "norm", None)
        if isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            module.linear = fuse_linear_bn_eval(linear, norm)
            module.norm = nn.Identity()
    example = torch.zeros(1, 3, backbone.size, backbone.size)
    with tempfile.TemporaryDirectory(prefix="mien-export-") as folder:
        traced = Path(folder) / "traced.onnx"
        with _expected_warnings():
            torch.onnx.export(
                network,
                (example,),
                str(traced),
                dynamo=False,
                opset_version=OPSET,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
                dynamic_axes={_INPUT: {0: "n"}, _OUTPUT: {0: "n"}},
            )
        CONVERTERS["fold"].convert(traced, file)


def largest_difference(backbone: Backbone, file: Path) -> float:
    """How far a file's unit templates are from the network's, at most, for ``BATCHES`` images like those of faces.

    Raises:
        RuntimeFailed: ONNX Runtime refuses the file, or one of the two gives no finite numbers.
    """
    network = copy.deepcopy(backbone).cpu().float().eval()
    ready = load_network(file, RuntimeOptions(threads=1))
    largest = 0.0
    with torch.inference_mode():
        for count in BATCHES:
            images = _images(count, backbone.size)
            wanted, found = network(torch.from_numpy(images)).numpy(), ready.run(images)[0]
            for vectors, whose in ((wanted, "the network"), (found, "the ONNX file")):
                if vectors.shape != (count, backbone.dimension) or not np.isfinite(vectors).all():
                    raise RuntimeFailed(
                        f"{file.name}: expected finite templates of shape ({count}, {backbone.dimension}), "
                        f"{whose} gives {vectors.shape} with {int((~np.isfinite(vectors)).sum())} that are not finite"
                    )
            largest = max(largest, float(np.abs(_unit(wanted) - _unit(found)).max()))
    return largest


def rounding(backbone: Backbone) -> float:
    """How far the network's own unit templates in float32 are from those in float64, at most.

    Where this is not small, the network magnifies rounding, and no file can be closer to it.
    """
    exact = copy.deepcopy(backbone).cpu().double().eval()
    network = copy.deepcopy(backbone).cpu().float().eval()
    images = torch.from_numpy(_images(max(BATCHES), backbone.size))
    with torch.inference_mode():
        wanted, found = exact(images.double()).numpy(), network(images).numpy()
    return float(np.abs(_unit(wanted) - _unit(found)).max())


def _images(count: int, size: int) -> FloatArray:
    """Images as smooth as photographs of faces are, with some noise, -1..1."""
    import cv2

    random = np.random.default_rng(0)
    coarse = random.uniform(-1, 1, (count, 7, 7, 3)).astype(np.float32)
    smooth = np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_CUBIC) for each in coarse])
    noisy = smooth + random.normal(0, 0.05, smooth.shape)
    return np.ascontiguousarray(noisy.clip(-1, 1).transpose(0, 3, 1, 2), np.float32)


def _unit(vectors: FloatArray) -> FloatArray:
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(1e-300), np.float64)


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """In it, those warnings are not shown that PyTorch's exporter gives of itself."""
    with warnings.catch_warnings():
        for message, kind in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=kind)
        yield
