from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mien.errors import BadCheckpoint, OutputError
from mien.training.checkpoints import latest, read_checkpoint, write_checkpoint
from mien.training.ranks import Ranks, join


@pytest.fixture(scope="module")
def alone() -> Ranks:
    return join("cpu")


def write(folder: Path, step: int, ranks: Ranks, keep: int = 2) -> Path:
    return write_checkpoint(folder, step, {"weights": torch.full((3,), float(step))}, {"own": step}, ranks, keep=keep)


def test_what_was_written_is_read(tmp_path: Path, alone: Ranks) -> None:
    found = read_checkpoint(write(tmp_path, 7, alone))
    assert (found.step, found.world, found.own) == (7, 1, {0: {"own": 7}})
    assert torch.equal(found.shared["weights"], torch.full((3,), 7.0))


def test_the_latest_stay(tmp_path: Path, alone: Ranks) -> None:
    for step in (5, 100_000_000, 20, 7):
        write(tmp_path, step, alone, keep=3)
    assert latest(tmp_path) == tmp_path / "step-100000000"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000007", "step-00000020", "step-100000000"]


def test_one_that_was_not_finished_is_none(tmp_path: Path, alone: Ranks) -> None:
    write(tmp_path, 1, alone)
    (tmp_path / "step-00000002").mkdir()
    (tmp_path / ".step-00000003.part").mkdir()
    assert latest(tmp_path) == tmp_path / "step-00000001"
    write(tmp_path, 4, alone)
    assert not (tmp_path / ".step-00000003.part").exists()
    assert latest(tmp_path / "none") is None


def test_damage_is_found(tmp_path: Path, alone: Ranks) -> None:
    folder = write(tmp_path, 1, alone)
    file = folder / "model.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BadCheckpoint, match="is not what was written"):
        read_checkpoint(folder)
    file.unlink()
    with pytest.raises(BadCheckpoint, match=r"model\.pt: expected a part"):
        read_checkpoint(folder)
    (folder / "manifest.json").write_text(json.dumps({"format": 2, "files": {}, "world": 1, "step": 1}))
    with pytest.raises(BadCheckpoint, match="of format 1, got 2"):
        read_checkpoint(folder)
    with pytest.raises(BadCheckpoint, match="expected a checkpoint"):
        read_checkpoint(tmp_path / "none")


def test_a_place_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, alone: Ranks) -> None:
    write(tmp_path / "kept", 1, alone)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "file" / "checkpoints", 2, alone)
    assert latest(tmp_path / "kept") == tmp_path / "kept" / "step-00000001"


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, alone: Ranks) -> None:
    resource = pytest.importorskip("resource")
    import signal

    write(tmp_path, 1, alone)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(OutputError, match=r"the checkpoint cannot be written: .*part: (File too large|.*disk)"):
            write_checkpoint(tmp_path, 2, {"weights": torch.zeros(1_000_000)}, {}, alone, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert read_checkpoint(tmp_path / "step-00000001").step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
