"""Packs of made images: one color pattern a person, so that they can be told apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.training.data.packing import pack_images

__all__ = ["made_pack", "recipe_text"]


def made_pack(folder: Path, people: int = 4, images: int = 4, size: int = 112, seed: int = 0) -> Path:
    """A pack of ``people`` with ``images`` each; returns its folder."""
    random = np.random.default_rng(seed)
    source = folder.with_name(f"{folder.name}-images")
    for person in range(people):
        coarse = random.integers(0, 255, (4, 4, 3), np.uint8)
        (source / f"person {person}").mkdir(parents=True)
        for number in range(images):
            noise = random.normal(0, 12, (size, size, 3))
            image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) + noise
            cv2.imwrite(str(source / f"person {person}" / f"{number}.png"), image.clip(0, 255).astype(np.uint8))
    pack_images(source, folder, aligned=size)
    return folder


def recipe_text(pack: Path, steps: int = 4, **sections: str) -> str:
    """A recipe of a small network on a pack, in TOML; sections by name, as ``optimizer="rate = 0.1"``."""
    lines = [
        "log_every = 1",
        sections.pop("top", ""),
        f'[data]\npacks = ["{pack}"]\nbatch = {sections.pop("batch", "4")}\nworkers = 0\nbuffer_rows = 8',
        sections.pop("data", ""),
        f"[length]\nsteps = {steps}",
        '[backbone]\nname = "mobilefacenet"\ndimension = 32',
    ]
    lines += [f"[{name}]\n{text}" for name, text in sections.items()]
    return "\n".join(lines) + "\n"
