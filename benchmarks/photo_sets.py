"""The photos that the benchmarks run on: sets from the measuring data, or the demo's sample photos without it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

from environments import ENVIRONMENTS

__all__ = ["data_folder", "models_folder", "photo_sets"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Where the measuring data are, if they are anywhere: ``MIEN_DATA``, else ``../shared/data``."""
    return Path(os.environ.get("MIEN_DATA", _ROOT.parent / "shared" / "data")).resolve()


def models_folder() -> Path:
    """Where the two ONNX files of the comparison with insightface are: ``models`` beside the data."""
    return data_folder().parent / "models"


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def photo_sets(folders: Iterable[Path] = (), *, limit: int = 200) -> dict[str, list[Path]]:
    """Named lists of photos, none empty.

    Args:
        folders: folders of photos to use in place of the default sets.
        limit: at most so many photos a set, drawn evenly from it by a fixed seed.

    Raises:
        SystemExit: a folder holds no photos.
    """
    chosen = {folder.name: _images(folder) for folder in folders}
    if not chosen:
        data = data_folder()
        chosen = {name: _images(data / path) for name, path in (("lfw", "lfw/images"), ("photos", "photos"))}
        chosen = {name: photos for name, photos in chosen.items() if photos}
    if not chosen:
        from mien.images.samples import fetch

        chosen = {"samples": list(fetch(ENVIRONMENTS / "samples").paths)}
    for name, photos in chosen.items():
        if not photos:
            raise SystemExit(f"{name}: no photos there")
    return {name: sorted(random.Random(0).sample(photos, min(limit, len(photos)))) for name, photos in chosen.items()}
