"""A recipe as text for people: each setting with its value and what it is, as its class's docstring says."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mien.training.augmentation import AugmentationSettings
from mien.training.losses import LossSettings
from mien.training.settings import DistillationSettings, ProtocolSettings, TrainingSettings
from mien.training.settings_files import NONE

__all__ = ["commented_recipe"]

_WIDTH = 100


def commented_recipe(settings: TrainingSettings) -> str:
    """TOML that ``settings_from`` reads as the same settings.

    Settings without a value, and what a preset says, stand in comments: who changes the preset changes all of it.
    """
    told = _told(TrainingSettings)
    lines: list[str] = []
    sections: list[str] = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name == "augmentation":
            sections += ["", *_comment(told[field.name]), "[augmentation]", *_augmentation(value)]
        elif field.name == "distillation" and value is None:
            made = _section(DistillationSettings())
            sections += ["", *_comment(told[field.name]), "# [distillation]", *(_off(line) for line in made)]
        elif dataclasses.is_dataclass(value):
            sections += ["", *_comment(told[field.name]), f"[{field.name}]", *_section(value)]
        else:
            lines += _setting(field.name, value, told)
    return "\n".join([*lines, *sections]) + "\n"


def _section(value: Any) -> list[str]:
    told = _told(type(value))
    lines: list[str] = []
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if field.name == "protocols":
            continue
        if field.name == "name" and isinstance(value, get_args(get_args(LossSettings)[0])):
            names = ", ".join(sorted(kind.name for kind in get_args(get_args(LossSettings)[0])))
            lines += [*_comment(f"one of {names}"), f"name = {_value(given)}"]
            continue
        lines += _setting(field.name, given, told)
    if "protocols" in told:
        lines += _protocols(value.protocols, told["protocols"])
    return lines


def _protocols(given: tuple[ProtocolSettings, ...], text: str) -> list[str]:
    lines = ["", *_comment(f"Sets to evaluate on: {text}")]
    if not given:
        return [*lines, "# [[evaluation.protocols]]", *map(_off, _section(ProtocolSettings(path=Path("lfw"))))]
    for protocol in given:
        lines += ["[[evaluation.protocols]]", *_section(protocol)]
    return lines


def _augmentation(value: AugmentationSettings) -> list[str]:
    usual = AugmentationSettings(preset=value.preset)
    told = _told(AugmentationSettings)
    lines = [*_comment(told["preset"]), f"preset = {_value(value.preset)}"]
    for field in dataclasses.fields(value):
        if field.name == "preset":
            continue
        operation, as_usual = getattr(value, field.name), getattr(usual, field.name)
        for inner in dataclasses.fields(operation):
            given = getattr(operation, inner.name)
            line = f"{field.name}.{inner.name} = {_value(given)}"
            lines.append(f"# {line}" if given == getattr(as_usual, inner.name) else line)
    return lines


def _setting(name: str, value: Any, told: dict[str, str]) -> Iterator[str]:
    yield from _comment(told[name])
    if value is None:
        # What is None by default is so when it is left out; the clip alone has a number.
        yield f"{name} = {_value(NONE)}" if name == "clip" else f"# {name} = {_value(NONE)}"
    else:
        yield f"{name} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(each) for each in value)}]"
    # A JSON string is one of TOML too, but for a character that TOML wants escaped.
    return repr(value) if isinstance(value, (int, float)) else json.dumps(str(value)).replace("\x7f", "\\u007f")


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False)]


def _off(line: str) -> str:
    """Out of force: a line as a comment."""
    return line if line.startswith("#") or not line else f"# {line}"


def _told(kind: type) -> dict[str, str]:
    """What a class's docstring says of each of its settings."""
    told = dict.fromkeys(get_type_hints(kind), "")
    _, _, attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    name = ""
    for line in attributes.splitlines():
        if line.startswith("        "):
            told[name] += f" {line.strip()}"
        elif line.startswith("    "):
            name, _, text = line.strip().partition(": ")
            told[name] = text.strip()
    return {key: re.sub(r"\bNone\b", NONE, text.replace("``", "")) for key, text in told.items()}
