"""The recipe in several real processes, started by torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_packs import made_pack, recipe_text

from mien.training.checkpoints import latest
from mien.training.logs import read_log

pytestmark = pytest.mark.slow
_SECONDS = 150


def launched(run: Path, recipe: Path, world: int, *overrides: str) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)] if world > 1 else []
    command = [sys.executable, *launcher, "-m", "mien", "train", "model", str(recipe), *overrides, "--out", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_log(run) if line["kind"] == "step"]


def children_of(process: subprocess.Popen[str]) -> list[int]:
    psutil = pytest.importorskip("psutil")
    return [child.pid for child in psutil.Process(process.pid).children() if "train" in child.cmdline()]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    pack = made_pack(tmp_path / "faces", people=5, images=4)
    # Small steps and a soft loss on larger batches: what rounding does to one step is not blown up by the next ones.
    text = recipe_text(
        pack,
        3,
        top="threads = 1",
        batch="16",
        optimizer="rate = 0.001",
        loss="name = 'arcface'\nscale = 4\nmargin = 0.1",
    )
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("loss", ["arcface", "scf"])
def test_two_processes_have_the_losses_of_one(tmp_path: Path, recipe: Path, loss: str) -> None:
    """In float64, so that what is compared is the arithmetic's rule and not its rounding, which a network blows up.

    Both clip gradients: arcface has weights that are divided among processes, scf also some that all of them have.
    """
    text = recipe.read_text(encoding="utf-8").replace("'arcface'", f"'{loss}'")
    recipe.write_text(text.replace("rate = 0.001", "rate = 0.001\nclip = 0.1"), encoding="utf-8")
    worker = Path(__file__).with_name("double_worker.py")
    runs = {world: tmp_path / f"run-{world}" for world in (1, 2)}
    for world, run in runs.items():
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if world > 1 else []
        command = [sys.executable, *launcher, str(worker), str(recipe), str(run)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
    assert losses(runs[2]) == pytest.approx(losses(runs[1]), rel=1e-9)


def test_parts_of_a_batch_that_does_not_divide_evenly(tmp_path: Path, recipe: Path) -> None:
    """Of 9 images one process has 5 and the other 4; cut into parts, both must have as many of them."""
    process = launched(tmp_path / "run", recipe, 2, "data.batch=9", "optimizer.accumulate=4", "length.steps=2")
    _, told = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0, told
    assert len(losses(tmp_path / "run")) == 2


def test_another_number_of_processes_goes_on(tmp_path: Path, recipe: Path) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    for place, world, steps in ((whole, 1, 3), (run, 2, 3)):
        overrides = (f"length.steps={steps}", "optimizer.momentum=0", "checkpoints.every=2")
        if place == run:
            process = launched(place, recipe, world, *overrides, "length.minutes=0.00001")
            _, told = process.communicate(timeout=_SECONDS)
            assert process.returncode == 0, told
            assert len(losses(place)) == 1
            process = launched(place, recipe, 1, *overrides, "--resume")
        else:
            process = launched(place, recipe, world, *overrides)
        _, told = process.communicate(timeout=_SECONDS)
        assert process.returncode == 0, told
    assert losses(run) == pytest.approx(losses(whole), rel=1e-3)


def test_all_stop_when_one_dies_and_the_checkpoint_stands(tmp_path: Path, recipe: Path) -> None:
    run = tmp_path / "run"
    process = launched(run, recipe, 2, "length.steps=100000", "checkpoints.every=1")
    limit = time.monotonic() + _SECONDS
    while latest(run / "checkpoints") is None and time.monotonic() < limit:
        time.sleep(0.2)
    workers = children_of(process)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    _, told = process.communicate(timeout=_SECONDS)
    assert process.returncode != 0, told
    stood = latest(run / "checkpoints")
    assert stood is not None
    steps = int(stood.name.removeprefix("step-"))
    again = launched(run, recipe, 1, "length.steps=100000", "checkpoints.every=1", "length.minutes=0.00001", "--resume")
    _, told = again.communicate(timeout=_SECONDS)
    assert again.returncode == 0, told
    assert losses(run)[steps:]
    assert read_log(run)[-1]["step"] == steps + 1
