"""Packs back to folders: the images byte for byte, a folder for each person, and a table that can be packed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mien.errors import BadPack, OutputError
from mien.training.data.index import Index
from mien.training.data.naming import FileNames
from mien.training.data.shards import ShardReader
from mien.training.data.tables import write_image_table

__all__ = ["IMAGES_FILE", "unpack", "write_file"]

IMAGES_FILE = "images.csv"
"""The table beside the folders: image, identity, landmarks, license."""

_PNG = b"\x89PNG\r\n\x1a\n"


def unpack(index: Index, out: Path, progress: Callable[[int], None] | None = None) -> list[tuple[str, BadPack]]:
    """Write an index's images as files.

    Args:
        index: the images.
        out: a folder that is not there yet, or is empty.
        progress: called with the number of images that are done since the last call.

    Returns:
        Images that could not be read, by name, and why.

    Raises:
        OutputError: the folder is not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: expected a folder that is not there yet or is empty")
    advance = progress or (lambda _count: None)
    names, failed, rows = FileNames(), [], []
    identities, origins, licenses = index.texts("identity"), index.texts("name"), index.texts("license")
    points = index.landmarks.reshape(-1, 10)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ShardReader(index, verify=True) as reader:
            for row in range(len(index)):
                try:
                    data = reader.read(row)
                except BadPack as error:
                    failed.append((origins[row], error))
                    advance(1)
                    continue
                path = names.path(identities[row], origins[row], ".png" if data.startswith(_PNG) else ".jpg")
                write_file(out / path, data)
                known = None if np.isnan(points[row]).any() else tuple(points[row].tolist())
                rows.append((path.as_posix(), identities[row], known, licenses[row]))
                advance(1)
        write_image_table(out / IMAGES_FILE, rows)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    return failed


def write_file(path: Path, data: bytes) -> None:
    """Write a file, its folder too, so that it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".part-{path.name}")
    try:
        work.write_bytes(data)
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)
