from __future__ import annotations

from pathlib import Path

import pytest
from made_packs import made_pack, recipe_text

from mien.errors import BadCheckpoint
from mien.images import load
from mien.training.plots import plot_run
from mien.training.recipe import train
from mien.training.settings_files import read_settings


def test_a_run_is_drawn_from_its_log_and_its_centers(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_text(made_pack(tmp_path / "pack"), 2), encoding="utf-8")
    train(read_settings(file), tmp_path / "run")
    made = plot_run(tmp_path / "run")
    assert [picture.name for picture in made] == ["loss.png", "margin.png", "centers.png"]
    assert all(load(picture).std() > 5 for picture in made)


def test_a_folder_without_a_run_is_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="expected the folder of a run"):
        plot_run(tmp_path)
    assert not list(tmp_path.iterdir())
