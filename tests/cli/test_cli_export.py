"""From a run's folder to ``mien verify`` with the model that came of it, as a user would go."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_running import run

torch = pytest.importorskip("torch")
sys.path.append(str(Path(__file__).parents[1] / "training"))

from made_packs import made_pack  # noqa: E402
from made_runs import FIGURES, made_network, made_run  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    network = made_network()
    made_run(folder / "first", made_pack(folder / "patterns", people=2, images=2), network, FIGURES)
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder


def test_from_a_run_to_a_verification(
    folder: Path, tmp_path: Path, sample_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    made = run("export", folder / "first", "--out", out, "--json")
    assert made.code == 0, made.err
    (row,) = made.rows
    assert row["name"] == "first"
    assert row["opset"] == 17
    assert row["difference"] < 1e-4
    assert row["threshold"] == 0.3456
    refused = run("models", "add", row["onnx"], "--card", row["card"], "--json")
    assert refused.errors == ["license_refused"]
    added = run("models", "add", row["onnx"], "--card", row["card"], "--accept-license", "--json")
    assert added.code == 0, added.err
    photo = sample_photos[0]
    same = run("verify", photo, photo, "--largest", "--embedder", "first", "--json")
    assert same.code == 0, same.err
    assert same.rows[0]["space"] == added.rows[0]["space"]
    assert same.rows[0]["score"] == pytest.approx(1, abs=1e-5)
    assert same.rows[0]["threshold"] == 0.3456
    (cost,) = run("models", "profile", "first", "--no-latency", "--json").rows
    assert (cost["name"], cost["size"]) == ("first", 112)


def test_people_are_told_what_comes_next(folder: Path, tmp_path: Path) -> None:
    shown = run("export", folder / "weights.pt", "--backbone", "mobilefacenet", "--dimension", 32, "--out", tmp_path)
    assert shown.code == 0, shown.err
    assert f"mien models add {tmp_path}/weights.onnx --card {tmp_path}/weights.toml --accept-license" in shown.out
    assert run("export", folder / "first", "--out", tmp_path / "last", "--last").code == 0


def test_wrong_usage_and_inputs(folder: Path, tmp_path: Path) -> None:
    assert run("export", folder / "weights.pt", "--out", tmp_path).code == 2
    assert run("export", folder / "first", "--backbone", "ir18", "--out", tmp_path).code == 2
    nothing = run("export", tmp_path / "nothing", "--out", tmp_path, "--json")
    assert (nothing.code, nothing.errors) == (1, ["bad_checkpoint"])
    other = run("export", folder / "weights.pt", "--backbone", "nn4", "--out", tmp_path, "--json")
    assert (other.code, other.errors) == (1, ["bad_checkpoint"])
    unknown = run("export", folder / "weights.pt", "--backbone", "nn5", "--out", tmp_path, "--json")
    assert (unknown.code, unknown.errors) == (2, ["bad_settings"])
    named = run("export", folder / "first", "--out", tmp_path, "--name", "Ä", "--json")
    assert named.errors == ["bad_input"]
    assert not list(tmp_path.iterdir())


def test_profile(tmp_path: Path) -> None:
    rows = run("models", "profile", "mobilefacenet", "nn4.small2", "--dimension", 128, "--no-latency", "--json").rows
    assert [row["parameters"] for row in rows] == [1_003_136, 3_733_968]
    (measured,) = run("models", "profile", "yunet", "--threads", 1, "--runs", 2, "--json").rows
    assert measured["size"] == 640
    assert measured["latency_ms"][0]["median"] > 0
    both = run("models", "profile", "nothing", "mobilefacenet", "--no-latency", "--json")
    assert (both.code, both.errors) == (1, ["model_not_found"])
    assert "the networks are ir18" in both.rows[0]["error"]["message"]
    assert both.rows[1]["macs"] > 2e8
    shown = run("models", "profile", "mobilefacenet", "--threads", 1, "--runs", 2)
    assert "1,200,512" in shown.out
