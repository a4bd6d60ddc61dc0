"""Counting against layers whose cost one can work out, and against published numbers."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from made_runs import made_network
from onnx import TensorProto, helper

from mien.errors import BadInput, BadSettings
from mien.training.backbones import Backbone, build_backbone
from mien.training.onnx_files import write_onnx
from mien.training.profiling import count_backbone, count_onnx, measure, profile_backbone, profile_onnx


def test_layers_that_one_can_count() -> None:
    body = [torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), torch.nn.Conv2d(8, 8, 3, groups=8)]
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8 * 6 * 6, 4))
    network = Backbone("counted", 16, 4, body, head).train()
    parameters, macs = count_backbone(network)
    assert parameters == 8 * 27 + 8 * 9 + 8 + 4 * 288 + 4
    assert macs == 8 * 27 * 8 * 8 + 8 * 9 * 6 * 6 + 4 * 288
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "millions"),
    # He and others (IR-18 as TFace lists it), Han and others (226), Tan and Le (390) for 224 pixels at stride 2.
    [("ir18", 2620), ("ghostnet130", 226), ("efficientnet-b0", 390)],
)
def test_macs_of_the_literature(name: str, millions: float) -> None:
    with torch.device("meta"):
        network = build_backbone(name)
        _, macs = count_backbone(network)
    assert macs / 1e6 == pytest.approx(millions, rel=0.02)


def test_a_written_file_counts_as_the_network(tmp_path: Path) -> None:
    network = made_network("nn4.small2", dimension=128)
    write_onnx(network, tmp_path / "a.onnx")
    parameters, macs = count_onnx(tmp_path / "a.onnx", 96)
    assert macs == count_backbone(network)[1]
    # Each normalization's scale and shift became part of the convolution before it.
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert parameters == pytest.approx(3_733_968 - sum(2 * norm.num_features for norm in norms), abs=20)


def test_profile_of_a_network() -> None:
    found = profile_backbone("mobilefacenet", dimension=128, threads=[1], runs=3)
    assert (found.name, found.size) == ("mobilefacenet", 112)
    assert [each.threads for each in found.latencies] == [1]
    assert 0 < found.latencies[0].median_ms <= found.latencies[0].p95_ms
    assert profile_backbone("mobilefacenet", threads=[]).latencies == ()
    with pytest.raises(BadSettings, match="expected one of"):
        profile_backbone("nothing")


def test_files_that_take_any_size(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, None)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], [0.1] * 108)
    nodes = [helper.make_node("Conv", ["image", "w"], ["maps"]), helper.make_node("Flatten", ["maps"], ["vector"])]
    graph = helper.make_graph(nodes, "any", [image], [vector], [weight])
    file = tmp_path / "any.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    assert count_onnx(file, 10) == (108, 4 * 27 * 8 * 8)
    assert profile_onnx(file, size=20, threads=[1], runs=1).macs == 4 * 27 * 18 * 18
    assert len(measure(file, 12, [1, 2], runs=2)) == 2
    with pytest.raises(BadInput, match=r"takes images of any size; say which"):
        profile_onnx(file)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is none at"):
        profile_onnx(tmp_path / "no.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(BadInput, match="expected an ONNX file"):
        profile_onnx(tmp_path / "text.onnx")
    write_onnx(build_backbone("mobilefacenet", dimension=8), tmp_path / "a.onnx")
    with pytest.raises(BadInput, match="takes images of 112 pixels, got 96"):
        profile_onnx(tmp_path / "a.onnx", size=96)
