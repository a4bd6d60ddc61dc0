"""Folders of runs that were not trained: the files of a real one, around a network of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mien.training.backbones import Backbone, build_backbone
from mien.training.checkpoints import write_checkpoint
from mien.training.ranks import join
from mien.training.settings_files import settings_from, write_settings

__all__ = ["made_network", "made_run"]

FIGURES = {"folds": {"accuracy": 0.912, "standard_error": 0.004, "threshold_at_fmr_0.001": 0.3456, "eer": 0.09}}


def made_network(name: str = "mobilefacenet", dimension: int = 32, seed: int = 0) -> Backbone:
    """A network whose normalizations have seen images, as after some training."""
    torch.manual_seed(seed)
    network = build_backbone(name, dimension=dimension).train()
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of what they see, rather than a moving one
    with torch.no_grad():
        for _ in range(2):
            coarse = torch.rand(6, 3, 8, 8) * 2 - 1
            network(torch.nn.functional.interpolate(coarse, network.size, mode="bicubic").clamp(-1, 1))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def made_run(
    folder: Path,
    pack: Path,
    network: Backbone | None = None,
    figures: dict[str, dict[str, float]] | None = None,
    **sections: Any,
) -> Path:
    """A run's folder: settings, a checkpoint of step 20 and, with figures, the best weights, of step 10."""
    network = made_network() if network is None else network
    backbone = {"name": network.name, "dimension": network.dimension}
    tables: dict[str, Any] = {"data": {"packs": [str(pack)]}, "length": {"steps": 20}, "backbone": backbone}
    for name, section in sections.items():
        tables[name] = {**tables.get(name, {}), **section} if isinstance(section, dict) else section
    folder.mkdir(parents=True)
    write_settings(settings_from(tables), folder / "settings.toml")
    trunk = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    write_checkpoint(folder / "checkpoints", 20, {"trunk": trunk, "average": None}, {}, join("cpu"), keep=1)
    if figures is not None:
        (folder / "best").mkdir()
        content = {"step": 10, "weights": network.state_dict(), "figures": json.dumps(figures)}
        torch.save(content, folder / "best" / "weights.pt")
    return folder
