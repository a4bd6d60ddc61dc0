"""A training run in float64, in which rounding cannot hide a mistake: ``double_worker.py RECIPE RUN``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mien.training.recipe import train
from mien.training.settings_files import read_settings

if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    train(read_settings(Path(sys.argv[1])), Path(sys.argv[2]))
