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


def test_a_new_recipe_takes_overrides_and_says_what_settings_are(tmp_path: Path) -> None:
    shown = CliRunner().invoke(
        app, ["train", "show", "loss.name=adaface", "data.packs=/packs/own", "optimizer.clip=none"]
    )
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[lines.index("spread = 0.333") - 1].startswith("# h: the share of a deviation")
    file = tmp_path / "recipe.toml"
    file.write_text(shown.stdout, encoding="utf-8")
    # As the help of train model has it: another loss by a word, on a recipe that has all of this one's settings.
    other = CliRunner().invoke(app, ["train", "show", str(file), "loss.name=cosface", "--json"])
    assert other.exit_code == 0, other.stderr
    tables = json.loads(other.stdout)
    assert tables["loss"] == {"name": "cosface", "scale": 64.0, "margin": 0.35}
    assert tables["data"]["packs"] == ["/packs/own"]
    assert tables["optimizer"]["clip"] == "none"
    wrong = CliRunner().invoke(app, ["train", "show", "los.name=adaface"])
    assert wrong.exit_code == 2
    assert "los: unknown setting; did you mean loss?" in wrong.stderr


def test_a_folder_without_a_run_has_no_plots(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "plot", str(tmp_path)])
    assert done.exit_code == 1
    assert "bad_checkpoint" in done.stderr
