"""Many processes that train one network together, as ``torchrun`` starts them; one process alone is the simplest case.

Losses are written for one process and still hold for many, by one convention: **every process computes the loss of the
whole batch**, from what it gathers of the others by the differentiable calls here, and calls ``backward`` on it. What
gradients are then taken of is the sum over the processes, ``world`` times the loss; each call's backward adds up what
comes from all processes, so it is exact. ``DistributedDataParallel`` divides by ``world`` again. Weights that only one
process has, as its class centers, must do so themselves: ``Ranks.own``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mien.errors import BadInput, BadSettings, RankLost
from mien.training.batch_norms import convert_batch_norms

__all__ = ["Ranks", "convert_batch_norms", "join"]

_T = TypeVar("_T")
_TIMEOUT_S = 600.0
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes, as seen from one of them.

    All processes make the same calls in the same order. With ``world == 1`` no process group is needed and every call
    hands back what it was given. Any call raises ``RankLost`` when another process has died or does not answer in time.

    Attributes:
        rank: this process's number, ``0 <= rank < world``.
        world: how many there are.
        local_rank: this process's number on its machine.
        device: where its tensors are.
        patient: a process group that waits for long, for ``await_first``; None for the usual time.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    patient: Any = None

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, of tensors of one shape; a new tensor. Differentiable."""
        if self.world == 1:
            return tensor
        summed: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
        return summed

    def all_reduce_max(self, tensor: Tensor) -> Tensor:
        """The largest over processes, of tensors of one shape; a new tensor without gradient."""
        if self.world == 1:
            return tensor.detach()
        return _reduced(tensor, dist.ReduceOp.MAX)

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, by rank, of one shape; without gradient."""
        if self.world == 1:
            return [tensor.detach()]
        return _gathered(tensor)

    def row_counts(self, rows: int) -> list[int]:
        """How many rows each process has, by rank."""
        if self.world == 1:
            return [rows]
        return [int(count) for count in _gathered(torch.tensor([rows], device=self.device))]

    def gather_features(self, features: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        """The rows of all processes, one after the other. Differentiable.

        Args:
            features: ``(n, ...)``; ``n`` may differ from process to process and be 0.
            counts: ``row_counts(n)``, if it is known already.

        Returns:
            ``(sum of all n, ...)``, the rows of rank 0 first.
        """
        if self.world == 1:
            return features
        counts = self.row_counts(len(features)) if counts is None else counts
        rows: Tensor = _Rows.apply(features, self.rank, tuple(counts))  # type: ignore[no-untyped-call]
        return rows

    def batch_order(self, counts: Sequence[int]) -> Tensor:
        """``(n,) int64``: where each row of the whole batch is among the gathered rows.

        The loader gives process ``r`` the rows ``r, r + world, r + 2 world, …`` of a batch.
        """
        places = [(row, rank) for rank, count in enumerate(counts) for row in range(count)]
        order = sorted(range(len(places)), key=lambda k: places[k])
        return torch.tensor(order, dtype=torch.int64, device=self.device)

    def own(self, weight: Tensor) -> Tensor:
        """A weight that no other process has: the same values, the gradient of one loss instead of ``world`` losses."""
        if self.world == 1:
            return weight
        scaled: Tensor = _Scaled.apply(weight, 1 / self.world)  # type: ignore[no-untyped-call]
        return scaled

    def broadcast(self, tensor: Tensor) -> Tensor:
        """Rank 0's tensor, of the same shape everywhere; a new tensor without gradient."""
        found = tensor.detach().clone(memory_format=torch.contiguous_format)
        if self.world > 1:
            with _collective():
                dist.broadcast(found, 0)
        return found

    @torch.no_grad()
    def broadcast_module(self, module: nn.Module) -> None:
        """Give all processes rank 0's parameters and buffers."""
        if self.world > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.copy_(self.broadcast(tensor))

    def broadcast_object(self, value: _T) -> _T:
        """Rank 0's value, anything that can be pickled."""
        if self.world == 1:
            return value
        found: list[Any] = [value]
        with _collective():
            dist.broadcast_object_list(found, 0, device=self.device)
        kept: _T = found[0]
        return kept

    def gather_objects(self, value: _T) -> list[_T]:
        """The values of all processes, by rank; anything that can be pickled."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        with _collective():
            dist.all_gather_object(found, value)
        return found

    def mean_of(self, values: Mapping[str, float]) -> dict[str, float]:
        """The means over processes of numbers by name.

        Raises:
            BadInput: the names are not the same in all processes.
        """
        if self.world == 1:
            return dict(values)
        found = self.gather_objects(dict(values))
        names = {tuple(sorted(of_one)) for of_one in found}
        if len(names) > 1:
            raise BadInput(f"expected the same names in all processes, got {sorted(names)}")
        return {name: sum(of_one[name] for of_one in found) / self.world for name in values}

    def any_of(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return any(self.gather_objects(bool(flag)))

    def all_equal(self, value: object) -> bool:
        """Whether a value is the same in all processes."""
        found = self.gather_objects(value)
        return all(other == found[0] for other in found)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            with _collective():
                # gloo's own barrier tells of a dead process only after the timeout; a reduction does at once.
                dist.all_reduce(torch.zeros(1, device=self.device))
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)

    def await_first(self) -> None:
        """Wait until rank 0 has done what it alone does, as an evaluation, be it hours; it calls this afterwards."""
        if self.patient is None:
            self.barrier()
        else:
            with _collective():
                dist.all_reduce(torch.zeros(1), group=self.patient)

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """In it, ``backward`` averages gradients: ``DistributedDataParallel`` talks to the others by itself.

        Raises:
            RankLost: another process has died or does not answer.
        """
        try:
            yield
        except RuntimeError as error:
            # Other errors come through here too, as too little memory: only the transports' own are of the others.
            if self.world == 1 or not any(name in str(error).lower() for name in ("gloo", "nccl", "connection")):
                raise
            raise _lost(error) from error

    def leave(self) -> None:
        """Leave the others; the last call."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join(device: Literal["auto", "cpu", "cuda"] = "auto", *, timeout_s: float = _TIMEOUT_S) -> Ranks:
    """Join the processes that ``torchrun`` started, or be one alone where it started none.

    It reads ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` of the environment. Processes
    talk by gloo on CPUs and by NCCL on GPUs, one GPU each.

    Args:
        device: ``auto`` takes a GPU where there is one.
        timeout_s: how long to wait for another process before all is given up. A process that dies is noticed at once
            with gloo; one that hangs, or dies with NCCL, after this time.

    Raises:
        BadSettings: the environment is incomplete, or there is no such device.
        RankLost: the others do not come.
    """
    rank, world, local_rank = (_from_environment(*pair) for pair in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    if not 0 <= rank < world or local_rank < 0:
        raise BadSettings(
            "expected 0 <= RANK < WORLD_SIZE and LOCAL_RANK >= 0, "
            f"got RANK={rank} WORLD_SIZE={world} LOCAL_RANK={local_rank}"
        )
    kind = _device(device, local_rank)
    if world == 1:
        return Ranks(device=kind)
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise BadSettings(
            f"WORLD_SIZE={world}: expected {', '.join(missing)} in the environment too, as torchrun sets it"
        )
    if kind.type == "cuda":
        torch.cuda.set_device(kind)
    if not dist.is_initialized():
        with _collective():
            dist.init_process_group(
                "nccl" if kind.type == "cuda" else "gloo",
                rank=rank,
                world_size=world,
                timeout=timedelta(seconds=timeout_s),
            )
    with _collective():
        # By gloo on any device: a process that dies closes its connections, which ends the wait.
        patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
    return Ranks(rank, world, local_rank, kind, patient)


def _from_environment(name: str, default: int) -> int:
    text = os.environ.get(name)
    try:
        return default if text is None else int(text)
    except ValueError as error:
        raise BadSettings(f"{name}: expected an integer, got {text!r}") from error


def _device(wanted: str, local_rank: int) -> torch.device:
    if wanted not in ("auto", "cpu", "cuda"):
        raise BadSettings(f"device: expected auto, cpu or cuda, got {wanted!r}")
    there = torch.cuda.device_count() if wanted != "cpu" and torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and there == 0):
        return torch.device("cpu")
    if local_rank >= there:
        raise BadSettings(f"device {wanted}: expected a GPU for LOCAL_RANK={local_rank}, found {there}")
    return torch.device("cuda", local_rank)


@contextmanager
def _collective() -> Iterator[None]:
    """In it, other processes are talked to."""
    try:
        yield
    except RuntimeError as error:  # all of torch.distributed's errors are
        raise _lost(error) from error


def _lost(error: RuntimeError) -> RankLost:
    first = str(error).partition("\n")[0]  # the rest is where in C++ it happened
    return RankLost(f"another process has died or does not answer: {first}")


def _reduced(tensor: Tensor, how: Any) -> Tensor:
    found = tensor.detach().clone(memory_format=torch.contiguous_format)
    with _collective():
        dist.all_reduce(found, how)
    return found


def _gathered(tensor: Tensor) -> list[Tensor]:
    found = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    with _collective():
        dist.all_gather(found, tensor.detach().contiguous())
    return found


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        return _reduced(tensor, dist.ReduceOp.SUM)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _reduced(gradient, dist.ReduceOp.SUM)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, rank: int, counts: tuple[int, ...]) -> Tensor:
        ctx.rank, ctx.counts = rank, counts
        most = max(counts)
        if most == 0:
            return features.clone()
        padded = features.new_zeros((most, *features.shape[1:]))
        padded[: len(features)] = features
        return torch.cat([rows[:count] for rows, count in zip(_gathered(padded), counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        start = sum(ctx.counts[: ctx.rank])
        if not sum(ctx.counts):
            return gradient.clone(), None, None
        return _reduced(gradient, dist.ReduceOp.SUM)[start : start + ctx.counts[ctx.rank]], None, None


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
