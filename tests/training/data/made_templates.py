"""Made templates of made people, for the tests of what compares people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from face_packs import SIDE, face_pack
from pack_making import encoded, noise

from mien.training.data import Index
from mien.training.data.describing import Described
from mien.training.data.joining import Pack
from mien.types import FloatArray

SPACE = "made@00000000"
DIMENSION = 64


def templates(people: Sequence[int], *, spread: float = 0.5, seed: int = 0) -> FloatArray:
    """A template for each number of a person: the same center for the same number, whatever the seed."""
    random = np.random.default_rng(seed)
    rows = []
    for person in people:
        center = np.random.default_rng(10_000 + person).normal(size=DIMENSION)
        own = random.normal(size=DIMENSION)
        row = center / np.linalg.norm(center) + spread * own / np.linalg.norm(own)
        rows.append(row / np.linalg.norm(row))
    return np.asarray(rows, np.float32).reshape(len(rows), DIMENSION)


def described(vectors: FloatArray, *, space: str = SPACE, missing: Sequence[int] = ()) -> Described:
    there = np.ones(len(vectors), np.bool_)
    there[list(missing)] = False
    return Described(space, np.where(there[:, None], vectors, 0).astype(np.float32), there, {}, True, len(vectors))


def people_pack(folder: Path, shown: Sequence[int], *, names: Sequence[str] | None = None, seed: int = 0) -> Pack:
    """A pack with an image and a template for each number of a person shown; other seeds give other images."""
    unique = sorted(set(shown))
    data = {k: encoded(noise(1000 * (seed + 1) + k, SIDE, SIDE), ".png") for k in range(len(shown))}
    index = face_pack(folder, [unique.index(person) for person in shown], data=data)
    called = [f"{folder.name}{person:02d}" for person in shown] if names is None else list(names)
    index = index.with_columns(identity=called).relabeled()
    return Pack(folder.name, index, described(templates(shown, seed=seed)))


def mislabeled(index: Index, row: int, identity: str) -> Index:
    names = index.texts("identity")
    names[row] = identity
    return replace(index.with_columns(identity=names).relabeled(), path=index.path)
