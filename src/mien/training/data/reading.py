"""From rows of indexes to a batch of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import BadImage, BadPack
from mien.training.augmentation import Augmentation
from mien.training.data.balanced import Members
from mien.training.data.index import Index
from mien.training.data.order import Drawn, Rows
from mien.training.data.shards import ShardReader
from mien.types import FloatArray, ImageArray

__all__ = ["Batch", "BatchReader", "Read"]

_MOST_TRIES = 1000


@dataclass(slots=True)
class Batch:
    """Images of one step, or one process's part of them.

    Attributes:
        images: ``(n, 3, s, s) uint8`` RGB, contiguous.
        labels: ``(n,) int64`` in their data set.
        sets: ``(n,) int64`` the data set.
        rows: ``(n,) int64`` the row in its index.
        mirrored: ``(n,) bool`` whether left and right are swapped.
        skipped: data set, row and reason of each image that could not be read; another stands in its place.
    """

    images: Tensor
    labels: Tensor
    sets: Tensor
    rows: Tensor
    mirrored: Tensor
    skipped: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A batch as arrays, which go from one process to another without PyTorch; see ``Batch``."""

    images: ImageArray
    labels: Rows
    sets: Rows
    rows: Rows
    mirrored: NDArray[np.bool_]
    skipped: list[tuple[int, int, str]]

    def batch(self) -> Batch:
        """The same as tensors, which share the memory."""
        arrays = (self.images, self.labels, self.sets, self.rows, self.mirrored)
        images, labels, sets, rows, mirrored = (torch.from_numpy(array) for array in arrays)
        return Batch(images, labels, sets, rows, mirrored, self.skipped)


class BatchReader:
    """Reads, decodes and changes images; can be sent to other processes.

    Args:
        indexes: the data sets.
        usable: the rows of each that take part, in rising order.
        size: side of all images in pixels.
        seed: of the changes.
        augmentation: the changes, or None.
        verify: compare each image's bytes with its digest.
        by_person: an image that cannot be read is replaced by another of the same person, where there is one.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        usable: Sequence[Rows],
        size: int,
        *,
        seed: int,
        augmentation: Augmentation | None,
        verify: bool,
        by_person: bool,
    ) -> None:
        self._readers = [ShardReader(index, verify=verify) for index in indexes]
        self._labels = [np.asarray(index.labels, np.int64) for index in indexes]
        self._landmarks: list[FloatArray] = [index.landmarks for index in indexes]
        self._usable, self._size, self._seed, self._augmentation = list(usable), size, seed, augmentation
        self._members = [Members(labels) for labels in self._labels] if by_person else None

    def read(self, drawn: Drawn) -> Read:
        """A batch.

        Raises:
            BadPack: a thousand images in a row cannot be read.
        """
        count, size = len(drawn.rows), self._size
        images = np.empty((count, 3, size, size), np.uint8)
        labels, rows = np.empty(count, np.int64), np.empty(count, np.int64)
        mirrored = np.zeros(count, np.bool_)
        skipped: list[tuple[int, int, str]] = []
        for place, (number, row, draw) in enumerate(
            zip(drawn.sets.tolist(), drawn.rows.tolist(), drawn.draws.tolist(), strict=True)
        ):
            found, image = self._readable(number, row, skipped)
            if self._augmentation is not None:
                random = np.random.Generator(np.random.Philox(key=(number << 64) + self._seed, counter=draw << 128))
                image, mirrored[place] = self._augmentation(image, self._landmarks[number][found], random)
            images[place] = image.transpose(2, 0, 1)
            labels[place], rows[place] = self._labels[number][found], found
        return Read(images, labels, np.array(drawn.sets, np.int64), rows, mirrored, skipped)

    def close(self) -> None:
        """Close the shards."""
        for reader in self._readers:
            reader.close()

    def _readable(self, number: int, row: int, skipped: list[tuple[int, int, str]]) -> tuple[int, ImageArray]:
        """The first image from a row on that can be read, and its row."""
        reason = ""
        for candidate in islice(self._candidates(number, row), _MOST_TRIES):
            try:
                return candidate, self._image(number, candidate)
            except (BadPack, BadImage) as error:
                reason = error.message
                skipped.append((number, candidate, reason))
        raise BadPack(f"data set {number}: none of the images after row {row} can be read; the last one: {reason}")

    def _candidates(self, number: int, row: int) -> Iterator[int]:
        """A row, then those that may stand in for it."""
        yield row
        tried = {row}
        if self._members is not None:
            members = self._members[number]
            person = int(np.searchsorted(members.people, self._labels[number][row]))
            for other in _after(members.of(person), row):
                tried.add(other)
                yield other
        yield from (other for other in _after(self._usable[number], row) if other not in tried)

    def _image(self, number: int, row: int) -> ImageArray:
        data = self._readers[number].read(row)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        except cv2.error as error:
            raise BadImage(f"cannot be decoded: {error}") from error
        if image is None:
            raise BadImage(f"expected an image, got {len(data)} bytes that cannot be decoded")
        if image.shape[:2] != (self._size, self._size):
            high, wide = image.shape[:2]
            raise BadImage(f"expected {self._size}×{self._size} pixels, got {wide}×{high}")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _after(rows: Rows, row: int) -> Iterator[int]:
    """All of some rows but one, from the one after it on, around the end."""
    place = int(np.searchsorted(rows, row, side="right"))
    for other in np.roll(rows, -place):
        if other != row:
            yield int(other)
