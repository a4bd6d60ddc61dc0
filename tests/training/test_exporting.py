"""A run leaves as a model: the same function, a card that mien takes, a page that tells the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from made_packs import made_pack
from made_runs import FIGURES, made_network, made_run

from mien import zoo
from mien.errors import BadCheckpoint, BadInput, BadSettings, HashMismatch, LicenseRefused, OutputError, RuntimeFailed
from mien.training.backbones import Backbone, build_backbone
from mien.training.exporting import Wishes, export_run, export_weights
from mien.training.onnx_files import OPSET, largest_difference, rounding, write_onnx
from mien.training.provenance import Source, choose_license
from mien.training.runs import read_run
from mien.training.weights import load_backbone, read_weights


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_pack(tmp_path_factory.mktemp("data") / "patterns", people=3, images=2)


@pytest.fixture(scope="module")
def network() -> Backbone:
    return made_network()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


# How far normalizations are from doing nothing. Deep networks that have learned nothing magnify what is done to them
# until rounding is all there is: the two of them that have gates are changed a little only.
SHAKEN = {"mobilefacenet": 0.5, "nn4.small2": 0.5, "ghostnet130": 0.02, "efficientnet-b0": 0.02}


@pytest.mark.parametrize(("name", "strength"), SHAKEN.items())
def test_the_file_computes_what_pytorch_does(name: str, strength: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, dimension=32).eval()
    for each in network.modules():
        if isinstance(each, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(each.weight, 1 - strength, 1 + strength)
            torch.nn.init.normal_(each.bias, 0, strength)
            torch.nn.init.normal_(each.running_mean, 0, strength)  # type: ignore[arg-type]
            torch.nn.init.uniform_(each.running_var, 1 - strength, 1 + strength)  # type: ignore[arg-type]
    write_onnx(network, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    for count in (1, 2, 5):
        images = np.random.default_rng(count).uniform(-1, 1, (count, 3, network.size, network.size))
        given = images.astype(np.float32)
        with torch.no_grad():
            wanted = network(torch.from_numpy(given)).numpy()
        (found,) = session.run(None, {"image": given})
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert largest_difference(network, tmp_path / "a.onnx") < 1e-4


def test_the_graph(network: Backbone, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    write_onnx(network, tmp_path / "a.onnx")
    model = onnx.load(str(tmp_path / "a.onnx"))
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {"Conv", "Relu", "Add", "Flatten", "Gemm"}
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_network_that_magnifies_rounding_is_refused(tmp_path: Path) -> None:
    network = made_network()
    # Features that are almost equal, brought near 0 by what is taken off them: little more than rounding is left.
    norm = network.get_submodule("head.1.last.norm")
    with torch.no_grad():
        features = network.head[1].pool(network.head[0](network.stages(torch.zeros(1, 3, 112, 112))[0][-1]))  # type: ignore[index]
        norm.running_mean.copy_(network.head[1].last.linear(features.flatten(1))[0])  # type: ignore[index, operator]
        network.get_parameter("body.0.0.weight").mul_(1e-7)
    assert rounding(network) > 1e-4
    torch.save(network.state_dict(), tmp_path / "a.pt")
    with pytest.raises(RuntimeFailed, match=r"a: expected templates within 0.0001 of PyTorch's, .* double precision"):
        export_weights(tmp_path / "a.pt", "mobilefacenet", tmp_path / "out", dimension=32)
    assert not list((tmp_path / "out").iterdir())


def test_a_file_of_other_weights_is_found_out(network: Backbone, tmp_path: Path) -> None:
    write_onnx(made_network(seed=1), tmp_path / "other.onnx")
    assert largest_difference(network, tmp_path / "other.onnx") > 1e-2
    write_onnx(made_network(dimension=16), tmp_path / "short.onnx")
    with pytest.raises(RuntimeFailed, match=r"shape \(1, 32\), the ONNX file gives \(1, 16\)"):
        largest_difference(network, tmp_path / "short.onnx")


def test_a_run_becomes_a_model(pack: Path, network: Backbone, tmp_path: Path) -> None:
    run = made_run(tmp_path / "My Run", pack, network, FIGURES, note="Made to be tested.")
    made = export_run(read_run(run), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["MODEL.md", "my-run.onnx", "my-run.toml"]
    assert made.difference < 1e-4
    card = zoo.add(made.onnx, made.toml, accept_license=True)
    assert card.name == "my-run"
    assert card.embedding is not None
    assert (card.input.size, card.input.color, card.embedding.dimension) == (112, "rgb", 32)
    assert card.embedding.points[0] == (38.2946, 51.6963)
    assert card.embedding.threshold == 0.3456
    assert card.embedding.threshold_note == "false match rate 0.001 on folds, evaluated in training at step 10"
    page = made.page.read_text(encoding="utf-8")
    assert "Made to be tested." in page
    assert "| patterns | 6 | 3 | not stated (6) |" in page
    assert "| accuracy | 0.9120 ± 0.0040 (standard error of the folds) |" in page
    assert 'packs = [\n    "patterns",\n]' in page
    assert str(tmp_path) not in page
    assert card.file.sha256 in page
    assert f"opset {OPSET}" in page


def test_the_last_weights_have_no_figures(pack: Path, network: Backbone, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", pack, network, FIGURES)
    made = export_run(read_run(run, best=False), tmp_path / "out")
    assert made.card.embedding is not None
    assert made.card.embedding.threshold == 0.4
    assert "not measured on this model" in made.card.embedding.threshold_note
    assert "were not evaluated" in made.page.read_text(encoding="utf-8")
    result = {"steps": 20, "images": 2560, "seconds": 90.0, "evaluation": FIGURES}
    (run / "result.json").write_text(json.dumps(result))
    made = export_run(read_run(run, best=False), tmp_path / "out", Wishes(overwrite=True))
    assert made.card.embedding is not None
    assert made.card.embedding.threshold == 0.3456
    assert "20 steps in all, with 2,560 images, and took 1.5 minutes" in made.page.read_text(encoding="utf-8")


def test_the_teachers_license_is_carried_over(pack: Path, network: Backbone, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", pack, network, distillation={"teacher": "sface"})
    made = export_run(read_run(run), tmp_path / "out", Wishes(name="student"))
    page = made.page.read_text(encoding="utf-8")
    assert "- the teacher sface: Apache-2.0, commercial use allowed, https://github.com/opencv" in page
    assert "- 6 images of patterns: LicenseRef-unknown, commercial use not known" in page
    assert (made.card.license.id, made.card.license.commercial) == ("LicenseRef-unknown", False)
    assert "taught by sface" in made.card.description


def test_weights_that_a_run_began_with_count(pack: Path, network: Backbone, tmp_path: Path) -> None:
    made_run(tmp_path / "first", pack, network, distillation={"teacher": "sface"})
    second = made_run(tmp_path / "second", pack, network, backbone={"start": str(tmp_path / "first")})
    page = export_run(read_run(second), tmp_path / "a").page.read_text(encoding="utf-8")
    assert "- the teacher sface: Apache-2.0" in page
    third = made_run(tmp_path / "third", pack, network, backbone={"start": str(tmp_path / "gone")})
    page = export_run(read_run(third), tmp_path / "b").page.read_text(encoding="utf-8")
    assert "- the weights of the run gone: LicenseRef-unknown, commercial use not known" in page


def test_a_pack_that_is_gone_is_told(network: Backbone, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tmp_path / "nowhere", network)
    made = export_run(read_run(run), tmp_path / "out", Wishes(license_id="MIT"))
    assert "could not be read at export" in made.page.read_text(encoding="utf-8")
    assert (made.card.license.id, made.card.license.commercial) == ("MIT", False)


FREE = Source("the data", "CC0-1.0", True)
OPEN = Source("the teacher", "Apache-2.0", True)
UNKNOWN = Source("the data", "LicenseRef-unknown", None)
CLOSED = Source("the teacher", "CC-BY-NC-4.0", False)


@pytest.mark.parametrize(
    ("sources", "license_id", "commercial", "wanted"),
    [
        ([FREE], None, False, ("CC0-1.0", True)),
        ([FREE, OPEN], None, False, ("LicenseRef-unknown", False)),
        ([FREE, OPEN], "MIT", False, ("MIT", True)),
        ([FREE, UNKNOWN], "MIT", False, ("MIT", False)),
        ([FREE, UNKNOWN], "MIT", True, ("MIT", True)),
        ([FREE, OPEN], "CC-BY-NC-4.0", False, ("CC-BY-NC-4.0", False)),
        ([CLOSED], None, False, ("CC-BY-NC-4.0", False)),
        ([], None, False, ("LicenseRef-unknown", False)),
    ],
)
def test_terms(sources: list[Source], license_id: str | None, commercial: bool, wanted: tuple[str, bool]) -> None:
    chosen = choose_license(sources, license_id, commercial=commercial)
    assert (chosen.id, chosen.commercial) == wanted


def test_terms_that_cannot_be() -> None:
    with pytest.raises(LicenseRefused, match=r"against the terms of the teacher \(CC-BY-NC-4.0\)"):
        choose_license([FREE, CLOSED], "MIT", commercial=True)
    with pytest.raises(LicenseRefused, match=r"the license research-only"):
        choose_license([FREE], "research-only", commercial=True)
    with pytest.raises(BadInput, match="expected an SPDX identifier"):
        choose_license([FREE], " ", commercial=False)


def test_weights_of_another_network(pack: Path, network: Backbone, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", pack, network, backbone={"dimension": 64})
    with pytest.raises(BadCheckpoint, match=r"weights of mobilefacenet with 64 numbers, got head.1.last.linear.weight"):
        export_run(read_run(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadCheckpoint, match=r"expected the weights of ir18 with 32 numbers, got .* and \d+ more"):
        load_backbone(network.state_dict(), "ir18", 32, origin="here")
    with pytest.raises(BadSettings, match="expected one of"):
        load_backbone(network.state_dict(), "none", 32, origin="here")


def test_weights_that_are_not_finite(network: Backbone, tmp_path: Path) -> None:
    weights = {**network.state_dict(), "body.0.0.weight": torch.full((64, 3, 3, 3), float("nan"))}
    with pytest.raises(BadCheckpoint, match=r"here: expected finite weights .* got others in body.0.0.weight"):
        load_backbone(weights, "mobilefacenet", 32, origin="here")


def test_files_of_weights(network: Backbone, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    torch.save({"weights": network.state_dict(), "step": 3}, tmp_path / "inside.pt")
    assert read_weights(tmp_path / "plain.pt").keys() == read_weights(tmp_path / "inside.pt").keys()
    made = export_weights(tmp_path / "plain.pt", "mobilefacenet", tmp_path / "out", dimension=32)
    assert made.card.name == "plain"
    assert "Not known" in made.page.read_text(encoding="utf-8")
    torch.save({"step": 3}, tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, told in [
        ("none.pt", "table of tensors"),
        ("text.pt", "written by torch.save"),
        ("no.pt", "No such file"),
    ]:
        with pytest.raises(BadCheckpoint, match=told):
            read_weights(tmp_path / name)


def test_a_card_and_the_weights_of_another_model(pack: Path, network: Backbone, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "a.pt")
    torch.save(made_network(dimension=16).state_dict(), tmp_path / "b.pt")
    a = export_weights(tmp_path / "a.pt", "mobilefacenet", tmp_path / "a", dimension=32)
    b = export_weights(tmp_path / "b.pt", "mobilefacenet", tmp_path / "b", dimension=16)
    with pytest.raises(HashMismatch, match=f"expected sha256 {a.card.file.sha256}"):
        zoo.add(b.onnx, a.toml, accept_license=True)


def test_names_and_files_that_cannot_be(network: Backbone, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "a.pt")

    def export(**wishes: object) -> None:
        export_weights(
            tmp_path / "a.pt",
            "mobilefacenet",
            tmp_path / "out",
            dimension=32,
            wishes=Wishes(**wishes),  # type: ignore[arg-type]
        )

    with pytest.raises(BadInput, match="expected 1 to 64 of a-z"):
        export(name="Größe")
    with pytest.raises(BadInput, match="mien has a model called 'sface'"):
        export(name="sface")
    export(name="mine")
    with pytest.raises(OutputError, match=r"holds mine.onnx, mine.toml, MODEL.md already; --overwrite"):
        export(name="mine")
    export(name="mine", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export_weights(tmp_path / "a.pt", "mobilefacenet", tmp_path / "file", dimension=32)


def test_a_result_that_is_damaged(pack: Path, network: Backbone, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", pack, network)
    (run / "result.json").write_text("{")
    with pytest.raises(BadCheckpoint, match=r"result.json: is damaged"):
        export_run(read_run(run), tmp_path / "out")
