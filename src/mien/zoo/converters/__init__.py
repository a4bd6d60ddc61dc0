"""Converters: from the file a publisher ships to an ONNX graph that every runtime is quick at.

- ``fold`` (``folding.py``): any ONNX file to plain float32 ONNX, the same function in faster nodes;
- ``dlib-resnet`` (``dlib_resnet.py``, on top of ``dlib_reader.py``): dlib's face recognition network.

A model card names its converter. The cache keeps results by the source's sha256 and the converter's name and
version, so a change in what a converter writes asks for the next version here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CONVERTERS", "Converter"]


@dataclass(frozen=True, slots=True)
class Converter:
    """A way from a source file to a ready-to-run ONNX file.

    Attributes:
        version: counts up with every change of what ``convert`` writes.
        convert: reads the first path, writes the second; raises ``BadCard`` where the source does not fit.
    """

    version: int
    convert: Callable[[Path, Path], None]


def _fold(source: Path, destination: Path) -> None:
    from mien.zoo.converters import folding

    folding.convert(source, destination)


def _dlib_resnet(source: Path, destination: Path) -> None:
    from mien.zoo.converters import dlib_resnet

    dlib_resnet.convert(source, destination)


CONVERTERS: dict[str, Converter] = {
    "dlib-resnet": Converter(version=1, convert=_dlib_resnet),
    "fold": Converter(version=1, convert=_fold),
}
