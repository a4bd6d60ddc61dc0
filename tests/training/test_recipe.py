from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from made_packs import made_pack, recipe_text

from mien.errors import BadInput, BadSettings, OutputError, TrainingDiverged
from mien.training.data.packing import pack_images
from mien.training.learner import Learner, StepLoss
from mien.training.logs import read_log
from mien.training.ranks import Ranks
from mien.training.recipe import _parts, train
from mien.training.runs import read_run
from mien.training.settings import TrainingSettings
from mien.training.settings_files import read_settings
from mien.training.watching import Watch


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_pack(tmp_path_factory.mktemp("packs") / "faces")


def settings_of(folder: Path, pack: Path, *overrides: str, steps: int = 4) -> TrainingSettings:
    file = folder / "recipe.toml"
    file.write_text(recipe_text(pack, steps), encoding="utf-8")
    return read_settings(file, overrides)


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_log(run) if line["kind"] == "step"]


class StopAfter(Watch):
    def __init__(self, steps: int) -> None:
        self._steps, self._done = steps, 0

    def stepped(self, step: int, steps: int, line: Any) -> None:
        self._done = step

    def stop_asked(self) -> bool:
        return self._done >= self._steps


def test_a_run_learns_and_leaves_its_folder(tmp_path: Path, pack: Path) -> None:
    settings = settings_of(tmp_path, pack, "optimizer.rate=0.05", "loss.scale=16", "loss.margin=0.2", steps=14)
    result = train(settings, tmp_path / "run")
    found = losses(tmp_path / "run")
    assert (result.steps, result.reason, result.images) == (14, "done", 14 * 4)
    assert sum(found[-3:]) < 0.8 * sum(found[:3])
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 14
    run = read_run(tmp_path / "run")
    assert run.step == 14
    assert run.settings == settings
    assert all(torch.isfinite(value.float()).all() for value in run.weights.values())


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("loss.name=curricularface", "optimizer.name=adamw", "optimizer.average=0.9", "optimizer.rate=0.001"),
        ("loss.name=adaface", "sample_rate=0.5", "optimizer.accumulate=2", "backbone.dropout=0.3"),
        ("loss.name=triplet", "data.sampler=balanced", "data.classes=2", "data.images=2"),
        ("precision=bf16", "augmentation.preset=default", "data.workers=1"),
    ],
    ids=["arcface", "curricularface", "adaface", "triplet", "bf16"],
)
def test_a_resumed_run_has_the_losses_of_one_that_never_stopped(
    tmp_path: Path, pack: Path, overrides: tuple[str, ...]
) -> None:
    settings = settings_of(tmp_path, pack, *overrides)
    train(settings, tmp_path / "whole")
    stopped = train(settings, tmp_path / "parts", watch=StopAfter(2))
    assert (stopped.steps, stopped.reason) == (2, "stopped")
    resumed = train(settings, tmp_path / "parts", resume=True)
    assert (resumed.steps, resumed.reason) == (4, "done")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    whole, parts = read_run(tmp_path / "whole").weights, read_run(tmp_path / "parts").weights
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_another_setting_on_resume_is_refused_and_shown(tmp_path: Path, pack: Path) -> None:
    train(settings_of(tmp_path, pack, steps=1), tmp_path / "run")
    with pytest.raises(BadSettings, match=r"optimizer\.rate: 0\.1, now 0\.3"):
        train(settings_of(tmp_path, pack, "optimizer.rate=0.3", steps=1), tmp_path / "run", resume=True)
    with pytest.raises(OutputError, match="holds a run already"):
        train(settings_of(tmp_path, pack, steps=1), tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(tmp_path: Path, pack: Path) -> None:
    # Class centers and features of 1e30 squared are infinite in float32.
    settings = settings_of(tmp_path, pack, "optimizer.rate=1e38", "optimizer.clip=1e38", "optimizer.warmup=0")
    with pytest.raises(TrainingDiverged) as raised:
        train(settings, tmp_path / "run")
    (file,) = (tmp_path / "run" / "diverged").glob("*.pt")
    assert str(file) in str(raised.value)
    kept = torch.load(file, weights_only=True)
    assert kept["images"].shape == (4, 3, 112, 112)
    assert len(kept["labels"]) == len(kept["rows"]) == 4


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the square root at 0 the value is finite and the slope is not."""
    settings = settings_of(tmp_path, pack, "checkpoints.every=1")
    whole, calls = Learner.loss, itertools.count(1)

    def rooted(*given: Any) -> StepLoss:
        found = whole(*given)
        extra = (found.total * 0).sqrt() if next(calls) == 3 else found.total * 0
        return StepLoss(found.total + extra, found.parts)

    monkeypatch.setattr(Learner, "loss", rooted)
    with pytest.raises(TrainingDiverged, match=r"step 3: the gradient is not finite \(.*gradient_norm nan"):
        train(settings, tmp_path / "run")
    assert [file.name for file in (tmp_path / "run" / "diverged").iterdir()] == ["step-00000003-rank-0.pt"]
    assert read_run(tmp_path / "run").step == 2


def test_a_batch_in_parts_is_the_same_for_every_process() -> None:
    for batch, parts, world in ((9, 4, 2), (7, 3, 1), (16, 5, 3), (6, 3, 4), (8, 1, 2), (5, 5, 1)):
        found = [_parts(batch, parts, Ranks(rank, world)) for rank in range(world)]
        counts = [len(range(rank, batch, world)) for rank in range(world)]
        assert len({len(of_one) for of_one in found}) == 1
        for number, several in enumerate(zip(*found, strict=True)):
            sizes = [len(range(count)[part]) for count, (part, _) in zip(counts, several, strict=True)]
            assert min(sizes) > 0
            assert [share for _, share in several] == [sum(sizes) / batch] * world, number
        for count, of_one in zip(counts, found, strict=True):
            assert [k for part, _ in of_one for k in range(count)[part]] == list(range(count))


def test_a_teacher_of_chips_that_are_cut_otherwise_is_refused(tmp_path: Path) -> None:
    made_pack(tmp_path / "faces", people=2, images=2)
    rows = [f"p{k // 2},{tmp_path}/faces-images/person {k // 2}/{k % 2}.png" for k in range(4)]
    points = ",".join(["20", "20", "40", "20", "30", "30", "22", "40", "38", "40"])
    header = "identity,image," + ",".join(f"{axis}{k}" for k in range(5) for axis in "xy")
    (tmp_path / "table.csv").write_text("\n".join([header, *(f"{row},{points}" for row in rows)]), encoding="utf-8")
    pack_images(tmp_path / "table.csv", tmp_path / "otherwise", aligned=112)
    settings = settings_of(tmp_path, tmp_path / "otherwise", "distillation.teacher=sface", steps=1)
    with pytest.raises(BadInput, match=r"as sface@.* takes them; got landmarks that lie \d+ pixels from"):
        train(settings, tmp_path / "run")


def test_a_run_that_never_began_keeps_nobody_out(tmp_path: Path, pack: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(BadSettings, match="ir19"):
        train(settings_of(tmp_path, pack, "backbone.name=ir19", steps=1), run)
    assert train(settings_of(tmp_path, pack, steps=1), run).steps == 1


def test_two_cannot_train_in_one_folder(tmp_path: Path, pack: Path) -> None:
    settings = settings_of(tmp_path, pack, steps=1)
    code = "import sys; from mien.training.data.claims import claimed; from pathlib import Path; "
    code += "held = claimed(Path(sys.argv[1]), '', forking=True); print('held', flush=True); sys.stdin.read()"
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "run" / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="run: another process is training there"):
            train(settings, tmp_path / "run")
        other.communicate("")
    assert train(settings, tmp_path / "run").steps == 1


def test_the_time_limit_stops_in_order(tmp_path: Path, pack: Path) -> None:
    result = train(settings_of(tmp_path, pack, "length.minutes=0.0001", steps=50), tmp_path / "run")
    assert (result.reason, result.steps) == ("minutes", 1)
    assert read_run(tmp_path / "run").step == 1


def test_a_pack_of_another_size_is_refused(tmp_path: Path) -> None:
    pack = made_pack(tmp_path / "small", people=2, images=2, size=96)
    with pytest.raises(BadSettings, match="expected images aligned to 112 pixels for mobilefacenet, got 96"):
        train(settings_of(tmp_path, pack), tmp_path / "run")


@pytest.mark.slow
def test_a_killed_run_loses_no_more_than_the_steps_since_its_checkpoint(tmp_path: Path, pack: Path) -> None:
    steps = 16
    settings = settings_of(tmp_path, pack, "checkpoints.every=2", steps=steps)
    train(settings, tmp_path / "whole")
    command = [sys.executable, "-m", "mien", "train", "model", str(tmp_path / "recipe.toml"), "--resume"]
    command += ["--out", str(tmp_path / "killed"), "checkpoints.every=2", "threads=1"]
    chance, kills = random.Random(5), 0
    while kills < 4:
        before = len(losses(tmp_path / "killed"))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        target = before + chance.randint(1, 4)
        while process.poll() is None and len(losses(tmp_path / "killed")) < min(target, steps):
            time.sleep(0.02)
        time.sleep(chance.random() * 0.2)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        _, told = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), told.decode()
        if len(losses(tmp_path / "killed")) >= steps:
            break
        done = max((int(p.name[5:]) for p in (tmp_path / "killed" / "checkpoints").glob("step-*")), default=0)
        assert len(losses(tmp_path / "killed")) - done <= 2
    assert kills >= 2
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
