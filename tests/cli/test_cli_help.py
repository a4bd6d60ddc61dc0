from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from cli_running import run

from mien import __version__
from mien.cli import app


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, (*path, name))


COMMANDS = dict(_walk(typer.main.get_command(app)))


def test_the_contracts_commands_are_there() -> None:
    wanted = {"demo", "detect", "verify", "enroll", "identify", "embed", "gallery show", "gallery remove"}
    assert wanted | {f"models {c}" for c in ("list", "show", "pull", "add", "check")} <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    if not hasattr(command, "commands"):
        assert f"Example: mien {name}" in command.help
    undocumented = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert not undocumented


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_shown(name: str) -> None:
    for flag in ("--help", "-h"):
        shown = run(*name.split(), flag)
        assert shown.code == 0
        assert "Usage" in shown.out


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("detect", "IMG..."), ("verify", "A B"), ("models pull", "NAME..."), ("models check", "[NAME...]")],
)
def test_usage_names_the_arguments(name: str, arguments: str) -> None:
    usage = next(line for line in run(*name.split(), "--help").out.splitlines() if "Usage" in line)
    assert usage.strip() == f"Usage: mien {name} [OPTIONS] {arguments}"


def test_brackets_in_help_are_shown() -> None:
    assert "mien[parquet]" in run("embed", "--help").out


def test_version() -> None:
    assert run("--version").out.strip() == f"mien {__version__}"


def test_help_needs_no_heavy_package() -> None:
    code = (
        "import sys, types, importlib.util as u\n"
        "package = types.ModuleType('mien')\n"
        "package.__path__ = list(u.find_spec('mien').submodule_search_locations)\n"
        "sys.modules['mien'] = package\n"
        "import mien.cli\n"
        "print(sorted({'numpy', 'cv2', 'onnxruntime', 'pydantic', 'PIL', 'rich', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
