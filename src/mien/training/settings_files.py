"""Training settings from TOML files and ``key=value`` overrides, and back."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from mien.errors import BadSettings
from mien.training.losses import ArcFaceSettings
from mien.training.settings import TrainingSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FREE", "NONE", "differences", "read_settings", "settings_from", "to_tables", "write_settings"]

_ADAPTER = TypeAdapter(TrainingSettings)
NONE = "none"
"""In TOML, which has no word for it: no value."""
FREE = frozenset(
    {
        "length.minutes",
        "checkpoints.every",
        "checkpoints.keep",
        "evaluation.every",
        "evaluation.patience",
        "evaluation.protocols",
        "data.workers",
        "data.verify",
        "log_every",
        "threads",
        "note",
    }
)
"""Settings that may be others when a run is resumed: how it is carried out or watched, not what it computes."""


def read_settings(file: Path, overrides: Iterable[str] = ()) -> TrainingSettings:
    """Settings from a TOML file, changed by overrides.

    What has no value, as a limit that there is none of, is ``none``. One pack needs no list.

    Args:
        file: TOML; paths in it are relative to its folder.
        overrides: ``section.key=value``, the value in TOML; a plain word needs no quotes. Another ``loss.name`` or
            ``augmentation.preset`` than the file's puts aside what the file has in that section, which was meant for
            the file's own; ``length.steps`` takes the place of ``length.epochs``, and the other way round.

    Raises:
        BadSettings: no such file, no TOML, an unknown key, a wrong type, a value out of range; the message says which.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{file}: is no TOML: {error}") from error
    return settings_from(tables, overrides, folder=file.parent)


def settings_from(tables: dict[str, Any], overrides: Iterable[str] = (), folder: Path = Path()) -> TrainingSettings:
    """Settings from nested tables, as TOML gives them.

    Args:
        tables: by section and key.
        overrides: as in ``read_settings``; paths in them are relative to the working folder.
        folder: what relative paths in ``tables`` are relative to.

    Raises:
        BadSettings: as ``read_settings``.
    """
    merged = _with_paths(tables, folder)
    changes = [_parsed(override) for override in overrides]
    _put_aside(merged, dict(changes))
    for key, value in changes:
        _override(merged, key, value)
    data, loss = merged.get("data"), merged.get("loss")
    if isinstance(data, dict) and isinstance(data.get("packs"), str):
        data["packs"] = [data["packs"]]
    if isinstance(loss, dict):
        loss.setdefault("name", ArcFaceSettings().name)
    _unset(merged, TrainingSettings)
    try:
        return _ADAPTER.validate_python(merged)
    except ValidationError as error:
        raise BadSettings("; ".join(_told(dict(fault)) for fault in error.errors())) from error


def to_tables(settings: TrainingSettings) -> dict[str, Any]:
    """The settings as nested tables of plain values, without those that are None; ``settings_from`` reads them."""
    tables: dict[str, Any] = _plain(dataclasses.asdict(settings))
    if settings.optimizer.clip is None:
        tables["optimizer"]["clip"] = NONE  # left out, it would be the default
    return tables


def write_settings(settings: TrainingSettings, file: Path) -> None:
    """Write settings as TOML, with absolute paths; the file that was there stays until the new one is whole."""
    import tomli_w

    work = file.with_name(f".{file.name}.part")
    work.write_text(tomli_w.dumps(to_tables(settings)), encoding="utf-8")
    os.replace(work, file)


def differences(old: TrainingSettings, new: TrainingSettings) -> list[str]:
    """What a resumed run must not change and would: ``key: old, now new`` each; empty where there is nothing."""
    before, after = dict(_flat(to_tables(old))), dict(_flat(to_tables(new)))
    return [
        f"{key}: {before.get(key, 'not set')}, now {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not any(key == free or key.startswith(f"{free}.") for free in FREE)
    ]


def _parsed(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise BadSettings(f"expected key=value, as optimizer.rate=0.05, got {override!r}")
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text


def _put_aside(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    """Drop what cannot stand, or would have no meaning, beside an override."""
    for section, key, usual in (("loss", "name", ArcFaceSettings().name), ("augmentation", "preset", "default")):
        table = tables.get(section)
        if isinstance(table, dict) and changes.get(f"{section}.{key}", table.get(key, usual)) != table.get(key, usual):
            tables[section] = {}
    length = tables.get("length")
    for key, other in (("steps", "epochs"), ("epochs", "steps")):
        if isinstance(length, dict) and f"length.{key}" in changes and f"length.{other}" not in changes:
            length.pop(other, None)


def _override(tables: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    table = tables
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise BadSettings(f"{key}: {section} is no section")
        table = inner
    table[last] = value


def _unset(table: dict[str, Any], *kinds: Any) -> None:
    """Replace ``none`` by None, where a setting may be that."""
    for key, value in table.items():
        options = [option for kind in kinds for option in _options(kind, key)]
        if value == NONE and type(None) in options:
            table[key] = None
        elif isinstance(value, dict):
            _unset(value, *options)


def _options(kind: Any, key: str) -> tuple[Any, ...]:
    """The types that a setting may have."""
    if not dataclasses.is_dataclass(kind):
        return ()
    hint = get_type_hints(kind).get(key)
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


_PATHS = {("data", "packs"), ("backbone", "start"), ("distillation", "teacher_run")}


def _with_paths(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A deep copy whose paths are taken from ``folder`` on."""

    def moved(value: Any) -> Any:
        return str((folder / value).absolute()) if isinstance(value, str) else value

    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in tables.items()}
    for section, key in _PATHS:
        table = merged.get(section)
        if isinstance(table, dict) and key in table:
            value = table[key]
            table[key] = [moved(path) for path in value] if isinstance(value, list) else moved(value)
    evaluation = merged.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(evaluation.get("protocols"), list):
        evaluation["protocols"] = [
            {key: moved(value) if key in ("path", "images") else value for key, value in protocol.items()}
            if isinstance(protocol, dict)
            else protocol
            for protocol in evaluation["protocols"]
        ]
    return merged


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value.absolute()) if isinstance(value, Path) else value


def _flat(tables: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _told(fault: dict[str, Any]) -> str:
    parts = [str(part) for part in fault["loc"]]
    kind: Any = TrainingSettings
    if parts[:1] == ["loss"] and len(parts) > 1:
        # Pydantic puts the loss's name between the section and the setting.
        name = parts.pop(1)
        kind = next((each for each in _options(kind, "loss") if _loss_name(each) == name), kind)
    else:
        for part in parts[:-1]:
            kind = next((each for each in _options(kind, part) if dataclasses.is_dataclass(each)), kind)
    where = ".".join(parts) or "settings"
    if fault["type"] == "unexpected_keyword_argument":
        there = [field.name for field in dataclasses.fields(kind)]
        near = difflib.get_close_matches(parts[-1], there, n=1)
        whose = f" of {_loss_name(kind)}" if parts[0] == "loss" else ""
        return f"{where}: unknown setting{whose}; " + (
            f"did you mean {near[0]}?" if near else f"there are {_list(there)}"
        )
    if fault["type"] == "union_tag_invalid":
        names = sorted(_loss_name(each) for each in _options(TrainingSettings, "loss"))
        near = difflib.get_close_matches(str(fault["ctx"]["tag"]), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{where}.name: expected one of {_list(names)}, got {fault['ctx']['tag']!r}{hint}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    told = not isinstance(fault["input"], (str, int, float, list, tuple)) or fault["type"] == "value_error"
    return f"{where}: {message}" + ("" if told else f", got {fault['input']!r}") if parts else message


def _loss_name(kind: Any) -> str:
    return str(getattr(kind, "name", ""))


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
