"""Checkpoints: all that a run needs to go on as if it had never stopped, whole or not at all.

A checkpoint is a folder ``step-00000100`` with ``model.pt`` (what all processes have in common), ``rank-0.pt``, …
(what is each process's own: its class centers, its random state) and ``manifest.json``, which names each file with its
size and hash. It is written under another name, synced and then renamed, so that a kill at any moment leaves the one
before.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mien.errors import BadCheckpoint, OutputError
from mien.training.ranks import Ranks

__all__ = ["Checkpoint", "latest", "read_checkpoint", "save_tensors", "write_checkpoint"]

_FORMAT = 1
_NAME = re.compile(r"step-(\d{8,})")
_MANIFEST = "manifest.json"
_SHARED = "model.pt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read.

    Attributes:
        step: steps done.
        shared: what all processes have in common.
        own: what is each process's own, by rank at the time of writing; only as many as were asked for are there.
        world: processes at the time of writing.
    """

    step: int
    shared: dict[str, Any]
    own: dict[int, dict[str, Any]]
    world: int


def write_checkpoint(
    folder: Path, step: int, shared: dict[str, Any], own: dict[str, Any], ranks: Ranks, *, keep: int
) -> Path:
    """Write a checkpoint; every process calls this with its own part.

    Args:
        folder: where checkpoints are; made if need be.
        step: steps done.
        shared: written by the first process; tensors and plain values.
        own: written by each.
        ranks: the processes.
        keep: how many of the latest checkpoints stay, this one included.

    Returns:
        The checkpoint's folder.

    Raises:
        OutputError: it cannot be written, on any process; what was there before is as it was.
    """
    target, work = folder / f"step-{step:08d}", folder / f".step-{step:08d}.part"
    failure = ""
    try:
        if ranks.rank == 0:
            # Of this step or another: what a kill left behind.
            for left in folder.glob(".step-*.part"):
                shutil.rmtree(left, ignore_errors=True)
            work.mkdir(parents=True)
    except OSError as error:
        failure = f"{work}: {error.strerror or error}"
    _agree(failure, work, ranks)
    try:
        save_tensors(own, work / f"rank-{ranks.rank}.pt")
        if ranks.rank == 0:
            save_tensors(shared, work / _SHARED)
    except OSError as error:
        failure = f"{work}: {error.strerror or error}"
    _agree(failure, work, ranks)
    try:
        if ranks.rank == 0:
            _finish(work, target, step, ranks.world)
            for old in _found(folder)[:-keep]:
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        failure = f"{target}: {error.strerror or error}"
    _agree(failure, work, ranks)
    return target


def latest(folder: Path) -> Path | None:
    """The checkpoint with most steps, or None where there is none."""
    found = _found(folder)
    return found[-1] if found else None


def read_checkpoint(folder: Path, *, ranks: tuple[int, ...] | None = None) -> Checkpoint:
    """Read a checkpoint and make sure that it is whole.

    Args:
        folder: the checkpoint's.
        ranks: whose own parts to read; None for those of all.

    Raises:
        BadCheckpoint: a file is not there, is not what was written, or of a newer version.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        version, files, world, step = (manifest[key] for key in ("format", "files", "world", "step"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{folder}: expected a checkpoint with {_MANIFEST}, got {error!r}") from error
    if version != _FORMAT:
        raise BadCheckpoint(f"{folder}: expected a checkpoint of format {_FORMAT}, got {version}")
    wanted = tuple(range(world)) if ranks is None else tuple(rank for rank in ranks if rank < world)
    own = {rank: _load(folder, f"rank-{rank}.pt", files) for rank in wanted}
    return Checkpoint(step, _load(folder, _SHARED, files), own, world)


def _agree(failure: str, work: Path, ranks: Ranks) -> None:
    """Stop all processes if one of them failed; the first to fail tells why."""
    failures = [text for text in ranks.gather_objects(failure) if text]
    if failures:
        if ranks.rank == 0:
            shutil.rmtree(work, ignore_errors=True)
        raise OutputError(f"the checkpoint cannot be written: {failures[0]}")


def save_tensors(content: dict[str, Any], file: Path) -> None:
    """Write a file by ``torch.save``, onto the disk.

    Raises:
        OSError: it cannot be written.
    """
    with file.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # PyTorch tells a full disk as how far its writer came; what the system said is in the context, if anywhere.
            cause = error.__context__ if isinstance(error.__context__, OSError) else None
            raise OSError(f"{cause.strerror if cause else 'PyTorch could not write all; is the disk full?'}") from error
        stream.flush()
        os.fsync(stream.fileno())


def _finish(work: Path, target: Path, step: int, world: int) -> None:
    files = {file.name: {"bytes": file.stat().st_size, "sha256": _digest(file)} for file in sorted(work.glob("*.pt"))}
    manifest = {"format": _FORMAT, "step": step, "world": world, "files": files}
    with (work / _MANIFEST).open("w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    _sync(work)
    if target.exists():
        shutil.rmtree(target)
    os.replace(work, target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _load(folder: Path, name: str, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    file = folder / name
    if name not in files or not file.is_file():
        raise BadCheckpoint(f"{file}: expected a part of the checkpoint, found none")
    if _digest(file) != files[name].get("sha256"):
        raise BadCheckpoint(f"{file}: is not what was written: its hash is another")
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise BadCheckpoint(f"{file}: expected a dictionary, got {type(content).__name__}")
    return content


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    whole = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / _MANIFEST).is_file()]
    return sorted(whole, key=lambda path: int(path.name.removeprefix("step-")))
