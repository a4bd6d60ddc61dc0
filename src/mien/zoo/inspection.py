"""Whether an ONNX file is sound and has the inputs and outputs that its card's family needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.errors import BadCard
from mien.zoo.schema import Card

__all__ = ["Signature", "misfit", "output_dimension", "read_signature"]

Shape = tuple[int | None, ...]

_LAST_DIMENSIONS = {
    "yunet": [1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10],
    "scrfd": [1, 1, 1, 4, 4, 4, 10, 10, 10],
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes into a model and what comes out: shapes by name, None for a free length.

    Attributes:
        inputs: what the caller feeds; weights that the file lists as inputs, and inputs that nothing reads,
            are left out.
        outputs: what the model returns.
    """

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]


def read_signature(path: Path) -> Signature:
    """Load an ONNX file, check it, and tell its inputs and outputs.

    Raises:
        BadCard: the file is no sound ONNX model, or keeps its weights in files beside it.
        OSError: the file cannot be read.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path))
        model = onnx.load_model_from_string(path.read_bytes())
    except (onnx.checker.ValidationError, ValueError) as error:
        raise BadCard(f"{path}: is no sound ONNX model: {str(error).strip().splitlines()[0]}") from error
    outside = [i.name for i in model.graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise BadCard(f"{path}: expected one file with all weights, {len(outside)} lie outside it, as {outside[0]!r}")
    graph = model.graph
    weights = {i.name for i in graph.initializer}
    read = {name for node in graph.node for name in node.input}
    return Signature(
        {value.name: _shape(value) for value in graph.input if value.name in read - weights},
        {value.name: _shape(value) for value in graph.output},
    )


def _shape(value: object) -> Shape:
    dimensions = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dimensions)


def output_dimension(signature: Signature) -> int | None:
    """The last length of the only output, or None if there are several outputs or it is free."""
    shapes = list(signature.outputs.values())
    return shapes[0][-1] if len(shapes) == 1 and shapes[0] else None


def misfit(card: Card, signature: Signature) -> str | None:
    """Why the model cannot be what ``card`` says, or None if it can; free lengths fit everything."""
    if len(signature.inputs) != 1:
        return f"expected 1 input, the model has {len(signature.inputs)}: {', '.join(signature.inputs)}"
    shape = next(iter(signature.inputs.values()))
    size = card.input.size
    if not _fits(shape, (None, 3, size, size)):
        return f"expected an input of shape (n, 3, {size or 'h'}, {size or 'w'}), the model has {_words(shape)}"
    lasts = [shape[-1] if shape else None for shape in signature.outputs.values()]
    if card.embedding is not None:
        if len(lasts) != 1:
            return f"expected 1 output, the model has {len(lasts)}: {', '.join(signature.outputs)}"
        if lasts[0] not in (None, card.embedding.dimension):
            return f"expected an output of {card.embedding.dimension} numbers a face, the model has {lasts[0]}"
        return None
    expected = _LAST_DIMENSIONS[card.family]
    if len(lasts) != len(expected):
        return f"expected {len(expected)} outputs, the model has {len(lasts)}: {', '.join(signature.outputs)}"
    if None not in lasts and sorted(lasts, key=str) != sorted(expected, key=str):
        return f"expected outputs whose last lengths are {expected}, the model has {lasts}"
    return None


def _fits(shape: Shape, expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        wanted is None or length is None or length == wanted for length, wanted in zip(shape, expected, strict=True)
    )


def _words(shape: Shape) -> str:
    return "(" + ", ".join("free" if length is None else str(length) for length in shape) + ")"
