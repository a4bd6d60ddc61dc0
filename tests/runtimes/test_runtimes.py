from __future__ import annotations

import builtins
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import BadSettings, MissingExtra, RuntimeFailed
from mien.runtimes import LazyNetwork, Network, RuntimeName, RuntimeOptions, load_network
from mien.testing import FakeNetwork
from mien.types import FloatArray
from mien.zoo import card, resolve

SHAPES = {"yunet": (3, 96, 128), "sface": (3, 112, 112), "dlib-resnet": (3, 150, 150)}
RUNTIMES: list[RuntimeName] = ["onnx", "openvino"]


def batch_for(model: str, n: int) -> FloatArray:
    facts = card(model).input
    pixels = np.random.default_rng(1).uniform(0, 255, (n, *SHAPES[model]))
    mean = np.asarray(facts.mean).reshape(3, 1, 1)
    return np.asarray((pixels - mean) * facts.scale, np.float32)


@pytest.mark.parametrize("model", SHAPES)
def test_runtimes_agree(model: str) -> None:
    path = resolve(card(model))
    onnx, openvino = (load_network(path, RuntimeOptions(name)) for name in RUNTIMES)
    assert onnx.output_names == openvino.output_names
    for n in (1, 3):
        batch = batch_for(model, n)
        for name, a, b in zip(onnx.output_names, onnx.run(batch), openvino.run(batch), strict=True):
            assert a.dtype == b.dtype == np.float32
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("model", SHAPES)
def test_a_batch_equals_its_items(runtime: RuntimeName, model: str) -> None:
    network = load_network(resolve(card(model)), RuntimeOptions(runtime))
    batch = batch_for(model, 3)
    together = network.run(batch)
    for k in range(3):
        for whole, alone in zip(together, network.run(batch[k : k + 1]), strict=True):
            np.testing.assert_allclose(whole[k], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_many_threads_get_their_own_answers(runtime: RuntimeName) -> None:
    network = load_network(resolve(card("sface")), RuntimeOptions(runtime, threads=1))
    batches = [batch_for("sface", 1) * s for s in (0.25, 0.5, 0.75, 1.0)]
    expected = [network.run(b)[0] for b in batches]
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(lambda k: network.run(batches[k % 4])[0], range(16))):
            np.testing.assert_allclose(found, expected[k % 4], atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bad_files_and_inputs_are_typed_errors(runtime: RuntimeName, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(RuntimeFailed, match=r"cannot load .*bad\.onnx"):
        load_network(bad, RuntimeOptions(runtime))
    network = load_network(resolve(card("sface")), RuntimeOptions(runtime))
    with pytest.raises(RuntimeFailed, match="failed on"):
        network.run(np.zeros((1, 3, 50, 50), np.float32))
    assert network.run(batch_for("sface", 1))[0].shape == (1, 128)


def test_options_are_checked() -> None:
    with pytest.raises(BadSettings, match="bf16 needs the openvino runtime"):
        RuntimeOptions("onnx", precision="bf16")
    with pytest.raises(BadSettings, match="threads"):
        RuntimeOptions(threads=0)
    with pytest.raises(BadSettings, match="expected onnx or openvino"):
        RuntimeOptions("tensorflow")  # type: ignore[arg-type]
    with pytest.raises(RuntimeFailed, match="cannot load"):
        load_network(resolve(card("sface")), RuntimeOptions(providers=("NoSuchExecutionProvider",)))


def test_a_missing_runtime_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "openvino":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[openvino\]'"):
        load_network(Path("any.onnx"), RuntimeOptions("openvino"))


def test_a_lazy_network_loads_once_and_only_when_used() -> None:
    loads: list[int] = []
    gate = threading.Barrier(8)

    def load() -> Network:
        time.sleep(0.05)
        loads.append(1)
        return FakeNetwork(lambda batch: [batch])

    lazy = LazyNetwork(load)
    assert loads == []

    def use(_: int) -> None:
        gate.wait()
        lazy.run(np.zeros((1, 3, 2, 2), np.float32))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert loads == [1]


def test_a_failed_load_is_tried_again() -> None:
    attempts: list[int] = []

    def load() -> Network:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeFailed("not yet")
        return FakeNetwork(lambda batch: [batch])

    lazy = LazyNetwork(load)
    with pytest.raises(RuntimeFailed):
        lazy.load()
    assert lazy.load().output_names == ("output",)


@pytest.mark.parametrize("own", [None, "0"])
def test_onnx_runtime_keeps_no_id_of_the_machine_and_sends_nothing(tmp_path: Path, own: str | None) -> None:
    """A fresh process in a home of its own; what a user sets on purpose is kept."""
    script = (
        "import os, sys; from pathlib import Path; from mien.runtimes import RuntimeOptions, load_network; "
        "load_network(Path(sys.argv[1]), RuntimeOptions()); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    kept_out = {"ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED", "XDG_CACHE_HOME", "CI", "GITHUB_ACTIONS"}
    environment = {name: value for name, value in os.environ.items() if name not in kept_out}
    environment["HOME"] = str(tmp_path)
    if own is not None:
        environment["ORT_DISABLE_TELEMETRY"] = own
    model = str(resolve(card("yunet")))
    done = subprocess.run([sys.executable, "-c", script, model], env=environment, check=True, capture_output=True)
    assert done.stdout.decode().strip() == (own or "1")
    if own is None:
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
