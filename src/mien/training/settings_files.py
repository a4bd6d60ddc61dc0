"""Training settings from TOML files and ``key=value`` overrides, and back."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mien.errors import BadSettings
from mien.training import settings as _settings
from mien.training.losses import ArcFaceSettings
from mien.training.settings import TrainingSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FREE", "differences", "read_settings", "settings_from", "to_tables", "write_settings"]

_ADAPTER = TypeAdapter(TrainingSettings)
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

    Args:
        file: TOML; paths in it are relative to its folder.
        overrides: ``section.key=value``, the value in TOML; a plain word needs no quotes.

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
    for override in overrides:
        _override(merged, override)
    if isinstance(merged.get("loss"), dict):
        merged["loss"].setdefault("name", ArcFaceSettings().name)
    try:
        return _ADAPTER.validate_python(merged)
    except ValidationError as error:
        raise BadSettings("; ".join(_told(dict(fault)) for fault in error.errors())) from error


def to_tables(settings: TrainingSettings) -> dict[str, Any]:
    """The settings as nested tables of plain values, without those that are None; ``settings_from`` reads them."""
    tables: dict[str, Any] = _plain(dataclasses.asdict(settings))
    return tables


def write_settings(settings: TrainingSettings, file: Path) -> None:
    """Write settings as TOML, with absolute paths."""
    import tomli_w

    file.write_text(tomli_w.dumps(to_tables(settings)), encoding="utf-8")


def differences(old: TrainingSettings, new: TrainingSettings) -> list[str]:
    """What a resumed run must not change and would: ``key: old, now new`` each; empty where there is nothing."""
    before, after = dict(_flat(to_tables(old))), dict(_flat(to_tables(new)))
    return [
        f"{key}: {before.get(key, 'not set')}, now {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not any(key == free or key.startswith(f"{free}.") for free in FREE)
    ]


def _override(tables: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise BadSettings(f"expected key=value, as optimizer.rate=0.05, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    table = tables
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise BadSettings(f"{key}: {section} is no section")
        table = inner
    table[last] = value


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
    where = ".".join(str(part) for part in fault["loc"]) or "settings"
    if fault["type"] == "unexpected_keyword_argument":
        near = difflib.get_close_matches(str(fault["loc"][-1]), _names(), n=1)
        return f"{where}: unknown setting" + (f"; did you mean {near[0]}?" if near else "")
    return f"{where}: {fault['msg']}, got {fault['input']!r}" if fault["loc"] else str(fault["msg"])


def _names() -> list[str]:
    kinds = [value for value in vars(_settings).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    return [field.name for kind in kinds for field in dataclasses.fields(kind)]
