"""A run's folder: what is in it, and who may write there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import torch

from mien.errors import BadCheckpoint, BadSettings, MienError, OutputError
from mien.training.checkpoints import Checkpoint, latest, read_checkpoint, save_tensors
from mien.training.data.claims import claimed
from mien.training.data.loader import Batch
from mien.training.logs import RunLog, read_log
from mien.training.ranks import Ranks
from mien.training.settings import TrainingSettings
from mien.training.settings_files import differences, read_settings, write_settings

__all__ = ["RunFolder", "Trained", "read_run"]

SETTINGS, RESULT, BEST = "settings.toml", "result.json", "best"
_WEIGHTS = "weights.pt"
_SKIPPED = "skipped.jsonl"
_LOCK = ".lock"


class RunFolder:
    """A run's folder while the run goes on. Make one with ``RunFolder.open``.

    Args:
        path: the folder.
        ranks: the processes; the first one writes what all have in common.
        lock: keeps others out of the folder while it is open; the first process has it.
    """

    def __init__(self, path: Path, ranks: Ranks, lock: IO[str] | None = None) -> None:
        self.path, self._ranks, self._lock = path, ranks, lock
        self.checkpoints = path / "checkpoints"

    @classmethod
    def open(cls, path: Path, settings: TrainingSettings, ranks: Ranks, *, resume: bool) -> RunFolder:
        """Make a run's folder, or take one up again; every process calls this.

        Raises:
            BadSettings: ``resume`` with settings that would compute something else; the differences are listed.
            OutputError: it holds a run and ``resume`` is False, another process trains in it, or it cannot be
                written.
        """
        failure: MienError | None = None
        lock: IO[str] | None = None
        if ranks.rank == 0:
            try:
                path.mkdir(parents=True, exist_ok=True)
                lock = claimed(path / _LOCK, f"{path}: another process is training there", forking=True)
                cls._claim(path, settings, resume)
            except MienError as error:
                failure = error
            except OSError as error:
                failure = OutputError(f"{path}: cannot be written: {error.strerror or error}")
        failure = ranks.broadcast_object(failure)
        if failure is not None:
            if lock is not None:
                lock.close()
            raise failure
        return cls(path, ranks, lock)

    def close(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _claim(path: Path, settings: TrainingSettings, resume: bool) -> None:
        there = path / SETTINGS
        # What ended before its first checkpoint and its first line has nothing that could be lost.
        if there.is_file() and (latest(path / "checkpoints") is not None or read_log(path)):
            if not resume:
                raise OutputError(f"{path} holds a run already: go on with it (--resume), or choose another folder")
            changed = differences(read_settings(there), settings)
            if changed:
                raise BadSettings(f"{path} was begun with other settings: {'; '.join(changed)}")
        write_settings(settings, there)

    def checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, with the parts that this process needs; None where there is none."""
        found = latest(self.checkpoints)
        return None if found is None else read_checkpoint(found)

    @contextmanager
    def log(self, step: int) -> Iterator[RunLog | None]:
        """The run's log in the first process, None in the others."""
        if self._ranks.rank:
            yield None
            return
        with RunLog(self.path, step) as log:
            yield log

    def evaluation(self, step: int) -> dict[str, dict[str, float]]:
        """The figures of an evaluation that the log has for a step, by protocol; empty where there was none."""
        lines = [line for line in read_log(self.path) if line["kind"] == "evaluation" and line["step"] == step]
        drop = {"kind", "step", "protocol"}
        return {line["protocol"]: {name: line[name] for name in line if name not in drop} for line in lines}

    def note_skipped(self, skipped: Sequence[tuple[int, int, str]]) -> None:
        """Write down images that could not be read: data set, row and reason each.

        Raises:
            OutputError: they cannot be written.
        """
        if not skipped:
            return
        file = self.path / _SKIPPED
        try:
            with file.open("a", encoding="utf-8") as stream:
                for number, row, reason in skipped:
                    stream.write(json.dumps({"set": number, "row": row, "reason": reason}) + "\n")
        except OSError as error:
            raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from error

    def keep_batch(self, step: int, batch: Batch, parts: Mapping[str, float]) -> str:
        """Keep a batch whose loss or gradient is not finite, for somebody to look at; what to tell of it."""
        file = self.path / "diverged" / f"step-{step:08d}-rank-{self._ranks.rank}.pt"
        content = {name: getattr(batch, name) for name in ("images", "labels", "sets", "rows", "mirrored")}
        kept = f"is kept in {file}"
        try:
            file.parent.mkdir(exist_ok=True)
            save_tensors({**content, "parts": dict(parts)}, file)
        except OSError as error:
            kept = f"could not be kept in {file}: {error.strerror or error}"
        what = "loss" if not math.isfinite(parts["loss"]) else "gradient"
        told = ", ".join(f"{name} {value:.6g}" for name, value in parts.items())
        return (
            f"step {step}: the {what} is not finite ({told}); the batch {kept}. The last checkpoint stands. "
            "A lower optimizer.rate, a longer optimizer.warmup or optimizer.clip may help"
        )

    def keep_best(self, weights: Mapping[str, torch.Tensor], step: int, figures: Mapping[str, Any]) -> None:
        """Keep the weights of the best evaluation so far.

        Raises:
            OutputError: they cannot be written.
        """
        folder = self.path / BEST
        try:
            folder.mkdir(exist_ok=True)
            part = folder / f".{_WEIGHTS}.part"
            save_tensors({"step": step, "weights": dict(weights), "figures": json.dumps(figures)}, part)
            os.replace(part, folder / _WEIGHTS)
        except OSError as error:
            raise OutputError(f"{folder}: the best weights cannot be written: {error.strerror or error}") from error

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write down how the run ended.

        Raises:
            OutputError: it cannot be written.
        """
        file = self.path / RESULT
        try:
            file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from error


class Trained:
    """What a run came to, read from its folder.

    Attributes:
        path: the folder.
        settings: the run's.
        step: steps done when the weights were as they are here.
        weights: the backbone's, by name.
        figures: of the evaluation of these weights, by protocol; empty where there was none.
    """

    def __init__(
        self,
        path: Path,
        settings: TrainingSettings,
        step: int,
        weights: dict[str, torch.Tensor],
        figures: dict[str, Any],
    ) -> None:
        self.path, self.settings, self.step, self.weights, self.figures = path, settings, step, weights, figures


def read_run(path: Path, *, best: bool = True) -> Trained:
    """The weights of a run.

    Args:
        path: the run's folder.
        best: those of the best evaluation, if there was one; else, and without one, those of the last checkpoint.

    Raises:
        BadCheckpoint: the folder holds no run, or a damaged one.
    """
    if not (path / SETTINGS).is_file():
        raise BadCheckpoint(f"{path}: expected the folder of a run, found no {SETTINGS}")
    settings = read_settings(path / SETTINGS)
    file = path / BEST / _WEIGHTS
    if best and file.is_file():
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            return Trained(path, settings, content["step"], content["weights"], json.loads(content["figures"]))
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise BadCheckpoint(f"{file}: is damaged: {error}") from error
    found = latest(path / "checkpoints")
    if found is None:
        raise BadCheckpoint(f"{path}: expected a checkpoint, found none")
    checkpoint = read_checkpoint(found, ranks=())
    shared = checkpoint.shared
    prefix = "backbone."
    trunk = {name.removeprefix(prefix): value for name, value in shared["trunk"].items() if name.startswith(prefix)}
    weights = trunk if shared["average"] is None else shared["average"]["values"]
    return Trained(path, settings, checkpoint.step, weights, {})
