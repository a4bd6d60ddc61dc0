from __future__ import annotations

from pathlib import Path

import pytest

from mien.errors import BadSettings
from mien.training.augmentation import AugmentationSettings
from mien.training.losses import ArcFaceSettings
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
        (
            "loss.name=arcfase",
            "loss.name: expected one of adaface, arcface, cifp, cosface, curricularface, ddl, magface, scf, softmax, "
            "triplet, got 'arcfase'; did you mean arcface?",
        ),
        ("loss.gradient=exact", "loss.gradient: unknown setting of cosface; there are name, scale, margin"),
        ("loss.margn=1", "loss.margn: unknown setting of cosface; did you mean margin?"),
        ("optimizer.steps=1", "optimizer.steps: unknown setting; there are name, rate, momentum"),
        ("augmentation.jpeg.lowst=1", "augmentation.jpeg.lowst: unknown setting; did you mean lowest?"),
        ("loss.name=triplet", "loss triplet: expected data.sampler=balanced"),
        ("data.batch=1", "data.batch: expected two images or more"),
        ("optimizer.accumulate=17", "expected two images or more in each of optimizer.accumulate=17 parts"),
        ("distillation.copy_centers=true", "copy_centers: expected distillation.labels above 0"),
        ("optimizer.rate=none", "optimizer.rate: "),
        ("data.batch", "expected key=value"),
        ("note.key=1", "note is no section"),
        ("length.steps=none", "length: expected steps or epochs, one of the two"),
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
    assert "Value error" not in str(raised.value)


def test_an_override_puts_aside_what_has_no_meaning_beside_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole.toml"
    write_settings(read_settings(recipe(tmp_path), ["loss.margin=0.2"]), whole)
    other = read_settings(whole, ["loss.scale=30", "loss.name=arcface", "length.epochs=2"])
    assert other.loss == ArcFaceSettings(scale=30)
    assert (other.length.epochs, other.length.steps) == (2, None)
    assert read_settings(whole, ["loss.name=cosface"]).loss == read_settings(whole).loss
    # All of a preset's values stand in a recipe that is written out; another preset is to change them.
    strong = read_settings(whole, ["augmentation.preset=strong", "augmentation.jpeg.lowest=20"]).augmentation
    assert strong.mask == AugmentationSettings(preset="strong").mask
    assert strong.jpeg.lowest == 20
    with pytest.raises(BadSettings, match="steps or epochs, one of the two"):
        read_settings(whole, ["length.epochs=2", "length.steps=5"])


def test_no_value_can_be_said_and_is_kept(tmp_path: Path) -> None:
    overrides = ["optimizer.clip=none", "length.minutes=5", "augmentation.preset=none", "note=none"]
    settings = read_settings(recipe(tmp_path), overrides)
    assert settings.optimizer.clip is None
    assert (settings.augmentation.preset, settings.note) == ("none", "none")
    write_settings(settings, tmp_path / "written.toml")
    assert read_settings(tmp_path / "written.toml") == settings
    assert read_settings(tmp_path / "written.toml", ["length.minutes=none"]).length.minutes is None
    changed = differences(settings, read_settings(recipe(tmp_path), overrides[1:]))
    assert changed == ["optimizer.clip: none, now 5.0"]


def test_one_pack_needs_no_list(tmp_path: Path) -> None:
    assert read_settings(recipe(tmp_path), ["data.packs=other/faces"]).data.packs == (Path("other/faces"),)
    text = RECIPE.replace('["faces"]', '"faces"')
    assert read_settings(recipe(tmp_path, text)).data.packs == (tmp_path / "faces",)


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
