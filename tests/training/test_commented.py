from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from mien.training.commented import commented_recipe
from mien.training.settings import TrainingSettings
from mien.training.settings_files import settings_from

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BASE = {"data": {"packs": ["faces"]}, "length": {"epochs": 20}}


def read(text: str) -> TrainingSettings:
    return settings_from(tomllib.loads(text))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["length.steps=5", "length.minutes=1.5", "threads=2", "optimizer.head_weight_decay=0.1"],
        [
            "optimizer.clip=none",
            'note="quotes \\" and \\\\ and ü"',
            'data.packs=["/a b", "/c"]',
            "data.shares=[0.5, 0.5]",
        ],
        ["augmentation.preset=surveillance", "augmentation.jpeg.lowest=7", 'augmentation.mask.shapes=["cup"]'],
        ["loss.name=cifp", "loss.rate=0.01", "backbone.start=/runs/first", "compile=true"],
        ["distillation.teacher=sface", "distillation.features=1", "distillation.teacher_run=/runs/big"],
        ['evaluation.protocols=[{path="/lfw"}, {path="/x.csv", kind="csv", images="/y"}]', "evaluation.every=5"],
    ],
)
def test_it_is_read_as_the_same_settings(overrides: list[str]) -> None:
    settings = settings_from(BASE, overrides)
    assert read(commented_recipe(settings)) == settings


def test_another_preset_or_loss_in_the_text_is_all_that_is_to_be_changed() -> None:
    text = commented_recipe(settings_from(BASE))
    changed = read(text.replace('preset = "default"', 'preset = "surveillance"'))
    assert changed == settings_from(BASE, ["augmentation.preset=surveillance"])


def test_every_setting_is_explained() -> None:
    lines = commented_recipe(settings_from(BASE, ["distillation.teacher=sface"])).splitlines()
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    for number, line in enumerate(lines):
        name = line.partition(" = ")[0].removeprefix("# ")
        if " = " in line and "." not in name:
            assert lines[number - 1].startswith("# "), line
            assert len(lines[number - 1]) > len("# "), line
        assert "None" not in line
        assert len(line) <= 100 or name in {"packs"}
    assert {line.strip("[]") for line in lines if line.startswith("[")} <= names


def test_what_is_commented_out_can_be_put_in_force() -> None:
    text = commented_recipe(settings_from(BASE))
    for old, new in (('# minutes = "none"', "minutes = 3"), ("# jpeg.lowest = 35", "jpeg.lowest = 5")):
        assert old in text
        text = text.replace(old, new)
    at = text.index("# [distillation]")
    text = text[:at] + text[at:].replace("# [dist", "[dist").replace("# teacher = ", "teacher = ")
    settings = read(text)
    assert (settings.length.minutes, settings.augmentation.jpeg.lowest) == (3, 5)
    assert settings.distillation is not None
    assert Path("faces").absolute() == settings.data.packs[0]
