"""Model folders in the layout in which insightface looks for them: ``ROOT/models/NAME/*.onnx``."""

from __future__ import annotations

from pathlib import Path

from environments import ENVIRONMENTS

from mien import zoo

__all__ = ["free_size_folder", "original_folder"]

_ROOT = ENVIRONMENTS / "insightface-models"
UserModel = tuple[str, str, str]
"""A file, the template of its card, and the name that mien knows it by."""


def original_folder(models: tuple[UserModel, ...]) -> tuple[Path, str]:
    """Root and name of a folder that links to the files as they are."""
    return _linked("as-shipped", [Path(file) for file, _, _ in models])


def free_size_folder(models: tuple[UserModel, ...]) -> tuple[Path, str]:
    """Root and name of a folder whose detector takes any size.

    The shipped detector fixes 640x640, which insightface then uses whatever size it is asked for. mien's
    converter frees the size and keeps the weights.
    """
    files = []
    for file, template, name in models:
        card = zoo.add(Path(file), template, name=name, accept_license=True)
        files.append(zoo.resolve(card) if card.task == "detector" else Path(file))
    return _linked("free-size", files)


def _linked(name: str, files: list[Path]) -> tuple[Path, str]:
    folder = _ROOT / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    for file in files:
        (folder / file.name).symlink_to(file)
    return _ROOT, name
