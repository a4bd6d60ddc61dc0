from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from cli_running import run
from onnx import TensorProto, helper


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _embedder(path: Path) -> Path:
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 112, 112])
    made = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 37632])
    graph = helper.make_graph([helper.make_node("Flatten", ["image"], ["vector"])], "flat", [given], [made])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_list() -> None:
    rows = {row["name"]: row for row in run("models", "list", "--json").rows}
    assert {"sface", "yunet", "dlib-resnet"} <= set(rows)
    assert rows["sface"]["present"] is True
    assert rows["sface"]["commercial"] is True
    assert rows["sface"]["license"] == "Apache-2.0"
    shown = run("models", "list")
    assert "Apache-2.0" in shown.out
    assert "embedder" in shown.out


def test_show() -> None:
    (row,) = run("models", "show", "--json", "yunet").rows
    assert row["license"]["id"] == "MIT"
    assert row["present"] is True
    assert "sha256" in run("models", "show", "yunet").out
    unknown = run("models", "show", "--json", "yuner")
    assert (unknown.code, unknown.errors) == (1, ["model_not_found"])


def test_pull_and_check(cache: Path) -> None:
    assert run("models", "pull", "--json", "yunet", "nothing").errors == ["model_not_found"]
    (row,) = run("models", "pull", "--json", "yunet").rows
    ready = Path(row["path"])
    assert ready.is_relative_to(cache)
    assert {"name": "yunet", "intact": True, "path": str(ready)} in run("models", "check", "--json").rows
    ready.write_bytes(ready.read_bytes()[:-1])
    damaged = run("models", "check", "--json", "yunet")
    assert (damaged.code, damaged.errors) == (1, ["hash_mismatch"])
    assert damaged.rows[0]["name"] == "yunet"


def test_add_asks_for_the_license(cache: Path, tmp_path: Path) -> None:
    file = _embedder(tmp_path / "mine.onnx")
    refused = run("models", "add", "--json", file, "--card", "arcface")
    assert (refused.code, refused.errors) == (1, ["license_refused"])
    added = run("models", "add", "--json", file, "--card", "arcface", "--name", "flat", "--accept-license")
    assert added.code == 0
    assert added.rows[0]["name"] == "flat"
    listed = {row["name"]: row for row in run("models", "list", "--json").rows}
    assert (listed["flat"]["commercial"], listed["flat"]["accepted"]) == (False, True)
    assert run("models", "add", "--json", tmp_path / "absent.onnx", "--card", "arcface").errors == ["bad_input"]
