"""Processes that read batches beside the training process.

Processes and not threads: an image costs either the same, but beside two threads small steps of the training process
took three times as long, for all wait for Python's one lock. And not PyTorch's ``DataLoader``: where a worker of its
dies, an error comes up anywhere in the training process.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection
from typing import Any, Protocol

import cv2

from mien.errors import BadInput, MienError, WorkerLost
from mien.training.data.order import Drawn
from mien.training.data.reading import BatchReader, Read

__all__ = ["Order", "WorkerPool"]


class Order(Protocol):
    """Says which images a step's batch has."""

    def at(self, step: int) -> Drawn:
        """The images of a step's batch."""


class WorkerPool:
    """Workers that read one batch after another, some ahead of who takes them.

    Of ``n`` workers each reads every ``n``-th batch, so they need no word from this process.

    Args:
        reader: reads a batch.
        order: what is in each.
        step: the first one.
        part: which part of each is read: rank and number of processes.
        workers: how many processes.
        prefetch: batches that each has ready.
    """

    def __init__(
        self, reader: BatchReader, order: Order, step: int, part: tuple[int, int], workers: int, prefetch: int
    ) -> None:
        # A fork is safe beside other threads here, for workers call nothing that those may have locked.
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._processes: list[Any] = []
        self._ends: list[Connection] = []
        self._next = 0
        for worker in range(workers):
            own_end, far_end = context.Pipe(duplex=False)
            # A worker that held the others' ends would keep them from noticing that this process is gone.
            inherited = [*self._ends, own_end] if sys.platform == "linux" else []
            process = context.Process(
                target=_work,
                args=(reader, order, range(step + worker, sys.maxsize, workers), part, prefetch, far_end, inherited),
                daemon=True,
                name=f"mien-loader-{worker}",
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            far_end.close()
            self._processes.append(process)
            self._ends.append(own_end)

    def next(self) -> Read:
        """The next batch.

        Raises:
            BadPack: it cannot be read.
            BadInput: the pool is closed.
            WorkerLost: a worker ended.
        """
        if not self._ends:
            raise BadInput("expected a loader that is open, got one that is closed")
        try:
            made: Read | MienError = self._ends[self._next].recv()
        except (EOFError, OSError) as error:
            process = self._processes[self._next]
            process.join(timeout=5)
            raise WorkerLost(
                f"a process that reads images ended with code {process.exitcode} "
                "(-9: it was killed, perhaps for want of memory)"
            ) from error
        if isinstance(made, MienError):
            raise made
        self._next = (self._next + 1) % len(self._ends)
        return made

    def close(self) -> None:
        """End the workers."""
        ends, self._ends = self._ends, []
        processes, self._processes = self._processes, []
        for end in ends:
            end.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
            process.close()


def _work(
    reader: BatchReader,
    order: Order,
    steps: range,
    part: tuple[int, int],
    prefetch: int,
    far_end: Connection,
    inherited: list[Connection],
) -> None:
    """Read batch after batch, until nobody takes them."""
    # Ctrl-C is for the training process, which ends its workers when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for end in inherited:
        end.close()
    cv2.setNumThreads(0)
    ready: queue.Queue[Read | MienError] = queue.Queue(max(1, prefetch - 1))
    threading.Thread(target=_send, args=(ready, far_end), daemon=True).start()
    for step in steps:
        try:
            ready.put(reader.read(order.at(step).part(*part)))
        except MienError as error:
            ready.put(error)


def _send(ready: queue.Queue[Read | MienError], far_end: Connection) -> None:
    while True:
        made = ready.get()
        try:
            far_end.send(made)
        except OSError:
            # Nobody takes it: the training process has closed the pool, or is gone.
            os._exit(0)
