"""A folder of people: a folder for each, with that person's images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.protocols.trials import Sample

__all__ = ["PeopleFolder", "read_people"]

_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))


@dataclass(frozen=True, slots=True, eq=False)
class PeopleFolder:
    """People and their images.

    Attributes:
        path: the folder.
        samples: the m images, sorted by path.
        identities: ``(m,) int64``, which person an image shows.
        names: the people's names, by number.
    """

    path: str
    samples: tuple[Sample, ...]
    identities: NDArray[np.int64]
    names: tuple[str, ...]


def read_people(path: Path, *, loose: bool = False) -> PeopleFolder:
    """Read a folder of people; hidden files and folders, and people without an image, are passed over.

    Args:
        path: the folder.
        loose: where there are no folders in it, take each image for a person of its own.

    Raises:
        BadInput: it is no folder, holds no images in folders, or a folder in it cannot be read.
    """
    if not path.is_dir():
        raise BadInput(f"{path}: expected a folder, got {'a file' if path.exists() else 'nothing of that name'}")
    samples: list[Sample] = []
    owners: list[int] = []
    names: list[str] = []
    try:
        entries = [entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        _refuse(error)
    for person in sorted(entries):
        found = _images(path, person)
        if found:
            samples += found
            owners += [len(names)] * len(found)
            names.append(person)
    if not samples and loose:
        samples = [s for s in _images(path, ".") if "/" not in s.name]
        names, owners = [sample.name for sample in samples], [*range(len(samples))]
    if not samples:
        raise BadInput(f"{path}: expected a folder of images for each person, found none")
    return PeopleFolder(str(path), tuple(samples), np.asarray(owners, np.int64), tuple(names))


def _refuse(error: OSError) -> NoReturn:
    raise BadInput(f"{error.filename}: expected a folder that can be read: {error.strerror}") from error


def _images(root: Path, person: str) -> list[Sample]:
    found = []
    for folder, inside, files in os.walk(root / person, onerror=_refuse):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in _SUFFIXES:
                file = Path(folder, name)
                found.append(Sample(file.relative_to(root).as_posix(), str(file)))
    return sorted(found, key=lambda sample: sample.name)
