from __future__ import annotations

from pathlib import Path

import pytest

from mien.errors import BadSettings
from mien.training.settings_files import differences, read_settings, settings_from, to_tables, write_settings

RECIPE = """
note = "a try"
[data]
packs = ["faces"]
batch = 32
[length]
steps = 10
[loss]
name = "cosface"
[[evaluation.protocols]]
path = "lfw"
"""


def recipe(folder: Path, text: str = RECIPE) -> Path:
    file = folder / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_paths_are_those_of_the_recipes_folder(tmp_path: Path) -> None:
    settings = read_settings(recipe(tmp_path))
    assert settings.data.packs == (tmp_path / "faces",)
    assert settings.evaluation.protocols[0].path == tmp_path / "lfw"
    assert settings.loss.name == "cosface"


def test_overrides_take_toml_values_and_plain_words(tmp_path: Path) -> None:
    overrides = ["optimizer.rate=0.25", "backbone.name=ir18", "data.shares=[1.0]", "length.minutes=3", "note=two words"]
    settings = read_settings(recipe(tmp_path), overrides)
    assert settings.optimizer.rate == 0.25
    assert settings.backbone.name == "ir18"
    assert settings.data.shares == (1.0,)
    assert settings.length.minutes == 3
    assert settings.note == "two words"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optimizer.rat=1", "optimizer.rat: unknown setting; did you mean rate?"),
        ("optimiser.rate=1", "optimiser: unknown setting; did you mean optimizer?"),
        ("optimizer.rate=-1", "greater than 0"),
        ("data.batch=many", "data.batch"),
        ("loss.name=arcfase", "arcface"),
        ("loss.wrong=1", "unknown setting"),
        ("data.batch", "expected key=value"),
        ("note.key=1", "note is no section"),
        ("length.epochs=2", "steps or epochs, one of the two"),
        ("data.shares=[0.5, 0.5]", "expected one for each of 1 packs, got 2"),
        ("data.sampler=balanced", "expected classes × images = 64"),
        ("evaluation.patience=2", "expected evaluation.every"),
        ("augmentation.wrong=1", "unknown setting"),
    ],
)
def test_what_is_wrong_is_told_by_name(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(BadSettings) as raised:
        read_settings(recipe(tmp_path), [override])
    assert told in str(raised.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(BadSettings, match="is no TOML"):
        read_settings(recipe(tmp_path, "data = ["))


def test_written_settings_are_read_as_the_same(tmp_path: Path) -> None:
    settings = read_settings(recipe(tmp_path), ["optimizer.clip=1.5", "augmentation.preset=light"])
    write_settings(settings, tmp_path / "written.toml")
    again = read_settings(tmp_path / "written.toml")
    assert again == settings
    assert settings_from(to_tables(settings)) == settings
    assert differences(settings, again) == []


def test_differences_name_what_would_compute_something_else(tmp_path: Path) -> None:
    old = read_settings(recipe(tmp_path))
    new = read_settings(recipe(tmp_path), ["optimizer.rate=0.01", "log_every=3", "length.minutes=2", "data.workers=0"])
    assert differences(old, new) == ["optimizer.rate: 0.1, now 0.01"]
