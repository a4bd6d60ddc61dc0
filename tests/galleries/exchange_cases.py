"""What the tests of export and import share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gallery_cases import faces

from mien.galleries import Gallery, Imported, open_gallery
from mien.galleries.exchange import blocks_of, checked_templates, export_templates, import_templates
from mien.galleries.exchange_rows import Block
from mien.galleries.protocol import NewEnrollment, Portraits

FORMATS = [".parquet", ".npz"]
NAMES = ["Ada", "Bo", "Zoë 李", "a" * 1000, "'; DROP TABLE templates; --"]


def portraits(count: int) -> Portraits:
    landmarks = np.random.default_rng(count).random((count, 5, 2)).astype(np.float32)
    return Portraits([f"picture {k}".encode() for k in range(count)], landmarks)


def filled(url: str, *, with_portraits: bool = False) -> Gallery:
    gallery = open_gallery(url)
    gallery.add_many(
        NewEnrollment(
            name,
            faces(k + 1, seed=k),
            tags=["staff", f"floor {k}"][:k],
            portraits=portraits(k + 1) if with_portraits else None,
        )
        for k, name in enumerate(NAMES)
    )
    return gallery


def exported(gallery: Gallery, path: Path, **options: Any) -> int:
    return sum(export_templates(gallery, str(path), **options))


def imported(gallery: Gallery, path: Path) -> tuple[int, int]:
    """How many templates of a file were taken in, and how many left out."""
    found = told(gallery, path)
    return found.taken, found.templates - found.taken


def told(gallery: Gallery, path: Path) -> Imported:
    """What became of the templates of a file."""
    return sum(import_templates(gallery, checked_templates(str(path))), Imported())


def contents(gallery: Gallery) -> dict[str, tuple[list[list[float]], list[str]]]:
    return {name: (gallery.templates(name)[1].vectors.tolist(), gallery.tags(name)) for name, _ in gallery.identities()}


def whole(gallery: Gallery, **options: bool) -> list[Block]:
    return list(blocks_of(gallery, **options))
