from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli import app

pytest.importorskip("torch")


def test_a_recipe_that_is_shown_can_be_read_again(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["train", "show"])
    assert shown.exit_code == 0
    assert "packs = [" in shown.stdout
    file = tmp_path / "recipe.toml"
    file.write_text(shown.stdout, encoding="utf-8")
    again = CliRunner().invoke(app, ["train", "show", str(file), "optimizer.rate=0.25", "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["optimizer"]["rate"] == 0.25


def test_a_folder_without_a_run_has_no_plots(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "plot", str(tmp_path)])
    assert done.exit_code == 1
    assert "bad_checkpoint" in done.stderr
