"""What a converted graph spells out for ONNX Runtime, put back as the one operation that OpenVINO is quick at."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["restore_prelus"]


def restore_prelus(model: Any) -> int:
    """Put a PRelu where the conversion wrote ``a*x + (1-a)*relu(x)`` as two depthwise convolutions and a sum.

    ONNX Runtime has no fast PRelu, so ``zoo.converters.folding`` writes it out; OpenVINO computes a PRelu along
    with the convolution before it, at no cost.

    Args:
        model: an ``openvino.Model``, changed in place.

    Returns:
        How many were put back.
    """
    import openvino
    from openvino import opset13

    restored = 0
    for add in [op for op in model.get_ordered_ops() if op.get_type_name() == "Add"]:
        branches = [_depthwise(add.input_value(k).get_node()) for k in (0, 1)]
        if branches[0] is None or branches[1] is None:
            continue
        (linear, slope), (rectified, rest) = branches
        relu = rectified.get_node()
        if relu.get_type_name() != "Relu" or relu.input_value(0) != linear or not np.array_equal(rest, 1 - slope):
            continue
        prelu = opset13.prelu(linear, openvino.op.Constant(slope))
        prelu.set_friendly_name(add.get_friendly_name())
        names = add.output(0).get_names()
        for target in add.output(0).get_target_inputs():
            target.replace_source_output(prelu.output(0))
        prelu.output(0).set_names(names)
        restored += 1
    if restored:
        model.validate_nodes_and_infer_types()
    return restored


def _depthwise(node: Any) -> Any:
    """The input and the ``(c,) float32`` factors of a depthwise 1x1 convolution, or None for any other node."""
    if node.get_type_name() != "GroupConvolution":
        return None
    kernel = node.input_value(1).get_node()
    if kernel.get_type_name() == "Reshape":
        kernel = kernel.input_value(0).get_node()
    if kernel.get_type_name() != "Constant":
        return None
    factors, how = np.asarray(kernel.data, np.float32), node.get_attributes()
    plain = all(s == 1 for s in how["strides"]) and not any([*how["pads_begin"], *how["pads_end"]])
    if not plain or factors.shape[0] != factors.size:
        return None
    return node.input_value(0), factors.reshape(-1)
