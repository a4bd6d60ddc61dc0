"""Shards: plain tar files that hold the images, one after another, as any tar program can read them."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mien.errors import BadInput, BadPack, OutputError
from mien.training.data.index import Index
from mien.training.data.schema import DIGEST_BYTES

__all__ = ["ShardReader", "ShardWriter", "Stored", "digest_of", "shard_name"]

_BLOCK = 512
_END = bytes(2 * _BLOCK)


def digest_of(data: bytes) -> bytes:
    """What an image is known by: BLAKE2b-128 of its encoded bytes (RFC 7693)."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def shard_name(number: int) -> str:
    """The file name of a pack's shard."""
    return f"shard-{number:05d}.tar"


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an image has been put.

    Attributes:
        shard: the tar file's name.
        offset: of the image's first byte in it.
        length: how many bytes it has.
        digest: see ``digest_of``.
    """

    shard: str
    offset: int
    length: int
    digest: bytes


class ShardWriter:
    """Appends images to shards, and begins a new one when one is full.

    The shard in work has ``.part`` at its name's end until it is full, or until ``close``.

    Args:
        folder: where the shards are; made if need be.
        shard_bytes: a shard is closed once it has as many bytes.
        shard: number of the first shard to write.
        length: bytes of its ``.part`` file to keep, where an earlier writer was cut off; what follows them goes.
        image: number of the first image, for its name in the tar file.
        finished: called with a shard's name once it is whole.

    Raises:
        OutputError: the folder or the file cannot be written.
        BadInput: there are fewer bytes than ``length``.
    """

    def __init__(
        self,
        folder: Path,
        shard_bytes: int = 1 << 30,
        *,
        shard: int = 0,
        length: int = 0,
        image: int = 0,
        finished: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self.shard, self.length, self.image = shard, length, image
        self._finished = finished
        self._descriptor: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if length:
                self._descriptor = os.open(self._part, os.O_RDWR)
                if os.fstat(self._descriptor).st_size < length:
                    raise BadInput(f"{self._part}: expected {length} bytes, found {os.fstat(self._descriptor).st_size}")
                os.ftruncate(self._descriptor, length)
                os.lseek(self._descriptor, length, os.SEEK_SET)
        except OSError as error:
            raise self._failed(error) from error

    def add(self, data: bytes, suffix: str) -> Stored:
        """Append an image.

        Args:
            data: its encoded bytes.
            suffix: of its name in the tar file, such as ``.jpg``.

        Raises:
            OutputError: it cannot be written.
        """
        header = tarfile.TarInfo(f"{self.image:08d}{suffix}")
        header.size = len(data)
        head = header.tobuf(tarfile.USTAR_FORMAT)
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
            offset = self.length + len(head)
            self._write(head + data + bytes(-len(data) % _BLOCK))
            stored = Stored(shard_name(self.shard), offset, len(data), digest_of(data))
            self.image += 1
            if self.length >= self.shard_bytes:
                self._finish()
        except OSError as error:
            raise self._failed(error) from error
        return stored

    def sync(self) -> None:
        """Return once all that was added is on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Finish the shard in work.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            if self._descriptor is not None:
                self._finish()
        except OSError as error:
            raise self._failed(error) from error

    def abandon(self) -> None:
        """Leave the shard in work as it is, for a later writer to go on with."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    @property
    def _part(self) -> Path:
        return self.folder / f"{shard_name(self.shard)}.part"

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            return
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.length += len(data)

    def _finish(self) -> None:
        if self._descriptor is None:
            return
        # The end stays out of ``length``: it is no image's.
        length = self.length
        self._write(_END)
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None
        name = shard_name(self.shard)
        os.replace(self._part, self.folder / name)
        sync_folder(self.folder)
        self.length = length
        if self._finished is not None:
            self._finished(name)
        self.shard, self.length = self.shard + 1, 0

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"{self._part}: cannot be written: {error.strerror or error}")


class ShardReader:
    """Reads images by their row in an index; safe to use from many threads, and to send to other processes.

    Shards are opened when they are first read from.

    Args:
        index: the images.
        verify: compare each image with its digest.
    """

    def __init__(self, index: Index, *, verify: bool = False) -> None:
        self._where = index.where
        self._shards = index.shards
        self._numbers = index.shard_numbers
        self._offsets = index.numbers("offset")
        self._lengths = index.numbers("length")
        self._digests = index.digests if verify else None
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    def read(self, row: int) -> bytes:
        """The encoded bytes of an image.

        Raises:
            BadPack: the shard cannot be read, is too short, or holds other bytes than it should.
        """
        number, offset, length = int(self._numbers[row]), int(self._offsets[row]), int(self._lengths[row])
        try:
            data = os.pread(self._file(number), length, offset)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BadPack(f"{self._where}: row {row}: {self._shards[number]}: cannot be read: {reason}") from error
        if len(data) != length:
            raise BadPack(
                f"{self._where}: row {row}: points past its shard {self._shards[number]}: expected {length} bytes "
                f"from {offset}, found {len(data)}"
            )
        if self._digests is not None and digest_of(data) != self._digests[row]:
            raise BadPack(
                f"{self._where}: row {row}: {self._shards[number]}: expected bytes of digest "
                f"{self._digests[row].hex()}, got {digest_of(data).hex()}"
            )
        return data

    def close(self) -> None:
        """Close the shards; another read opens them again."""
        with self._lock:
            files, self._files = self._files, {}
        for descriptor in files.values():
            os.close(descriptor)

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_files", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._files = {}
        self._lock = threading.Lock()

    def _file(self, number: int) -> int:
        descriptor = self._files.get(number)
        if descriptor is None:
            with self._lock:
                descriptor = self._files.get(number)
                if descriptor is None:
                    descriptor = self._files[number] = os.open(self._shards[number], os.O_RDONLY)
        return descriptor


def sync_folder(folder: Path) -> None:
    """Return once a folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
