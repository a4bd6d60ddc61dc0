"""Batches of training images: read, decoded and changed, by this process or by workers beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mien.errors import BadInput
from mien.training.augmentation import Augmentation
from mien.training.data.balanced import BalancedOrder
from mien.training.data.index import Index
from mien.training.data.order import ShuffledOrder, divided
from mien.training.data.reading import Batch, BatchReader
from mien.training.data.workers import Order, WorkerPool

__all__ = ["Batch", "Loader", "Position"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a loader is.

    Attributes:
        epoch: times that as many images were drawn as there are.
        batch: batches drawn since.
    """

    epoch: int = 0
    batch: int = 0


class Loader:
    """Endless batches of one or several data sets.

    The batch of a step is the same for every number of processes and workers, and does not depend on where the loader
    began; process ``rank`` of ``world`` gets every ``world``-th image of it. An image that cannot be read is replaced
    by the next one of its data set (``balanced``: of its person), and told of in the batch. Images without a label are
    left out. Not to be used from several threads at a time.

    Args:
        indexes: the data sets, their images aligned to one size.
        batch: images of one step, over all processes and data sets.
        rank: which process this is.
        world: how many processes there are.
        seed: of order and augmentation.
        augmentation: what is done to images; None for nothing.
        workers: processes that read and change images beside this one; 0 does it here, when a batch is asked for.
        buffer_rows: images among which the order is random, see ``order.epoch_order``.
        sampler: ``shuffled``: every image of a data set once before any comes again. ``balanced``: ``classes`` people
            with ``images`` images each, see ``BalancedOrder``.
        classes: people in a balanced batch.
        images: images a person in a balanced batch.
        shares: each data set's share of a batch, in any unit; None for shares by size.
        verify: compare each image's bytes with the index.
        prefetch: batches that a worker has ready.

    Attributes:
        shares: each data set's share of a batch, which are whole images or people.
        left_out: people whom the balanced sampler leaves out since they have one image.
        steps_per_epoch: batches with as many images as there are.

    Raises:
        BadInput: numbers that do not fit together; a data set that is empty, not aligned, or of another size; too few
            people with two images for a balanced batch.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        *,
        batch: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        workers: int = 0,
        buffer_rows: int = 65536,
        sampler: Literal["shuffled", "balanced"] = "shuffled",
        classes: int = 16,
        images: int = 4,
        shares: Sequence[float] | None = None,
        verify: bool = False,
        prefetch: int = 2,
    ) -> None:
        if batch < world:
            raise BadInput(f"batch: expected an image or more for each of {world} processes, got {batch}")
        if not 0 <= rank < world:
            raise BadInput(f"rank: expected 0 to {world - 1}, got {rank}")
        if workers < 0 or prefetch < 1:
            raise BadInput(f"expected workers of 0 or more and prefetch of 1 or more, got {workers} and {prefetch}")
        size = _size_of(indexes)
        usable = [np.flatnonzero(index.labels >= 0).astype(np.int64) for index in indexes]
        for number, rows in enumerate(usable):
            if not len(rows):
                raise BadInput(
                    f"data set {number}: expected images with a label, got none among {len(indexes[number])}"
                )
        weights = _weights(shares, [len(rows) for rows in usable])
        self.left_out = 0
        self._order: Order
        if sampler == "balanced":
            if batch != classes * images:
                raise BadInput(
                    f"batch: expected classes × images = {classes * images} for a balanced batch, got {batch}"
                )
            counts = _counts(classes, weights, "classes")
            balanced = BalancedOrder([index.labels for index in indexes], counts, images, seed)
            self._order, self.left_out = balanced, balanced.left_out
        elif sampler == "shuffled":
            counts = _counts(batch, weights, "batch")
            shards = [index.shard_numbers[rows] for index, rows in zip(indexes, usable, strict=True)]
            if buffer_rows < 1:
                raise BadInput(f"buffer_rows: expected 1 or more, got {buffer_rows}")
            self._order = ShuffledOrder(usable, shards, counts, seed, buffer_rows)
        else:
            raise BadInput(f"sampler: expected shuffled or balanced, got {sampler!r}")
        self.shares = [count / sum(counts) for count in counts]
        taking = sum(len(rows) for rows, count in zip(usable, counts, strict=True) if count)
        self.steps_per_epoch = math.ceil(taking / batch)
        self._reader = BatchReader(
            indexes, usable, size, seed=seed, augmentation=augmentation, verify=verify, by_person=sampler == "balanced"
        )
        self._part = (rank, world)
        self._workers, self._prefetch = workers, prefetch
        self._pools: list[WorkerPool] = []
        self._closed = False

    def batches(self, start: Position = Position(0, 0)) -> Iterator[tuple[Position, Batch]]:
        """Batches without an end, each with the position after it, from which the next one can be had again.

        Args:
            start: where to begin: a position that came with a batch, to go on after it.

        Raises:
            BadInput: the loader is closed.
            BadPack: a thousand images in a row cannot be read.
            WorkerLost: a worker ended before its time.
        """
        first = start.epoch * self.steps_per_epoch + start.batch
        for step, batch in enumerate(self._made(first), first + 1):
            epoch, number = divmod(step, self.steps_per_epoch)
            yield Position(epoch, number), batch

    def close(self) -> None:
        """End the workers and close the shards; batches cannot be had any more."""
        self._closed = True
        while self._pools:
            self._pools.pop().close()
        self._reader.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def _made(self, step: int) -> Iterator[Batch]:
        if not self._workers:
            while True:
                self._check_open()
                yield self._reader.read(self._order.at(step).part(*self._part)).batch()
                step += 1
        self._check_open()
        pool = WorkerPool(self._reader, self._order, step, self._part, self._workers, self._prefetch)
        self._pools.append(pool)
        try:
            while True:
                yield pool.next().batch()
        finally:
            pool.close()
            if pool in self._pools:
                self._pools.remove(pool)

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput("expected a loader that is open, got one that is closed")


def _size_of(indexes: Sequence[Index]) -> int:
    """The side of all images."""
    if not indexes:
        raise BadInput("indexes: expected one data set or more, got none")
    sizes = {index.aligned for index in indexes}
    size = indexes[0].aligned
    if len(sizes) != 1 or size is None:
        found = ", ".join("not aligned" if index.aligned is None else f"{index.aligned}" for index in indexes)
        raise BadInput(f"indexes: expected images aligned to one size, got {found}")
    return size


def _weights(shares: Sequence[float] | None, sizes: Sequence[int]) -> list[float]:
    if shares is None:
        return [float(size) for size in sizes]
    if len(shares) != len(sizes):
        raise BadInput(f"shares: expected one for each of {len(sizes)} data sets, got {len(shares)}")
    if not all(share >= 0 and math.isfinite(share) for share in shares) or not any(shares):
        raise BadInput(f"shares: expected numbers of 0 or more, not all 0, got {list(shares)}")
    return [float(share) for share in shares]


def _counts(total: int, weights: Sequence[float], name: str) -> list[int]:
    taking = sum(weight > 0 for weight in weights)
    if total < taking:
        raise BadInput(f"{name}: expected one or more for each of {taking} data sets, got {total}")
    return divided(total, weights, least=1)
