"""The documentation's examples, run as they stand on the sample photographs, so that they stay true.

In a ``python`` block the comment behind a ``print`` is what it prints; blocks marked ``python peer`` show another
package and are only parsed. In a ``console`` block the lines below a command are what it prints. Numbers may differ
a little, as processors and decoders do. The blocks of one document share a folder, and Python blocks their names.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from mien import Settings, errors
from mien.cli import app
from mien.images.samples import Samples
from mien.zoo import card

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "docs/command-line.md",
    "docs/concepts.md",
    "docs/galleries.md",
    "docs/migrating.md",
    "docs/models.md",
]
COMMAND_LINE = ROOT / "docs" / "command-line.md"
HOME = "/home/ada"
"""What the documentation writes for the working folder."""
PEOPLE = {"Barack Obama": ("obama.jpg", "obama2.jpg"), "Joe Biden": ("biden.jpg",)}

_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Not the digits in words and in embedding spaces (sface@fb143eea).
_NUMBER = re.compile(r"(?<![\w@.])-?\d+(?:\.\d+)?(?![\w@])")
_SHOWN = re.compile(r"print\(.*\)  # (.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the document on which the text begins."""

    language: str
    text: str
    line: int


def blocks(document: str, *languages: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = [Block(m[1].strip(), m[2], text[: m.start(2)].count("\n")) for m in _BLOCK.finditer(text)]
    return [block for block in found if block.language in languages]


def skeleton(text: str) -> str:
    """``text`` without its numbers, its white space and the rules of its tables, whose widths follow the numbers."""
    return _NUMBER.sub("#", re.sub(r"[─\s]+", " ", text)).strip()


def numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def require_alike(found: str, expected: str, where: str) -> None:
    assert skeleton(found) == skeleton(expected), where
    assert numbers(found) == pytest.approx(numbers(expected), abs=0.03, rel=0.03), where


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of mien without models of the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(samples: Samples, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the examples need, ``photos`` and ``people``, and none of the user's settings."""
    for name in [name for name in os.environ if name.startswith("MIEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MIEN_CACHE", str(cache))
    for photo in samples.paths:
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy2(photo, tmp_path / "photos")
    for person, names in PEOPLE.items():
        (tmp_path / "people" / person).mkdir(parents=True)
        for name in names:
            shutil.copy2(tmp_path / "photos" / name, tmp_path / "people" / person)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "python")])
def test_python_examples(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks(document, "python"):
        require_python(document, block, names, capsys)


def require_python(document: str, block: Block, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    # The empty lines make a traceback point into the document.
    exec(compile("\n" * block.line + block.text, str(ROOT / document), "exec"), names)
    expected = [shown[1] for line in block.text.splitlines() if (shown := _SHOWN.search(line))]
    require_alike(capsys.readouterr().out, "\n".join(expected), f"{document}, line {block.line + 1}")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "console")])
def test_command_line_examples(document: str) -> None:
    code = 0
    for block in blocks(document, "console"):
        code = require_commands(document, block, code)


def require_commands(document: str, block: Block, code: int) -> int:
    before, *examples = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert before == "", f"{document}, line {block.line + 1}: expected a command"
    for example in examples:
        command, _, expected = example.partition("\n")
        found, code = run(command, code)
        require_alike(found, expected, f"{document}: {command}")
    return code


@pytest.mark.usefixtures("folder")
def test_the_page_on_galleries_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever follows that page runs all of it in one folder; above, its commands and its Python are run apart."""
    names: dict[str, Any] = {}
    code = 0
    for block in blocks("docs/galleries.md", "python", "console", "sh"):
        if block.language == "python":
            require_python("docs/galleries.md", block, names, capsys)
        elif block.language == "console":
            code = require_commands("docs/galleries.md", block, code)
        elif os.name == "posix" and shutil.which("openssl") is not None:
            subprocess.run(block.text, shell=True, check=True, capture_output=True)
            assert Path("people.key").stat().st_mode & 0o777 == 0o600


def run(command: str, last_code: int) -> tuple[str, int]:
    """Output and exit code of a command as the documentation shows it."""
    words = shlex.split(command)
    if words == ["echo", "$?"]:
        return str(last_code), 0
    variables: dict[str, str] = {}
    while "=" in words[0]:
        name, _, variables[name] = words.pop(0).partition("=")
    assert words.pop(0) == "mien", command
    ran = CliRunner().invoke(app, words, env=variables, prog_name="mien")
    return ran.output.replace(str(Path.cwd()), HOME), ran.exit_code


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_of_other_packages_parse(document: str) -> None:
    for block in blocks(document, "python peer"):
        ast.parse(block.text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_languages_are_known(document: str) -> None:
    """A block in a mistyped language would be passed over."""
    text = (ROOT / document).read_text(encoding="utf-8")
    known = {"python", "python peer", "console", "sh", "toml", "text"}
    assert {match[1].strip() for match in _BLOCK.finditer(text)} <= known


@pytest.mark.parametrize("name", ["sface", "dlib-resnet"])
def test_thresholds_are_those_of_the_cards(name: str) -> None:
    """Exactly: the other examples may differ by more than two thresholds do."""
    embedding = card(name).embedding
    assert embedding is not None
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        printed = re.findall(rf" (\d\.\d{{3}}) +(?:yes|no) +{name}@", text)
        printed += re.findall(rf'"threshold": ([\d.]+), .*"space": "{name}@', text)
        assert {float(number) for number in printed} <= {embedding.threshold}, document
    for document in ("docs/concepts.md", "docs/migrating.md"):
        assert str(embedding.threshold) in (ROOT / document).read_text(encoding="utf-8")


def test_five_lines_are_five() -> None:
    (block,) = blocks("README.md", "python")
    assert len([line for line in block.text.splitlines() if line]) == 5


def test_every_command_has_its_section() -> None:
    headings = re.findall(r"^#+ `mien ([a-z -]+)`$", COMMAND_LINE.read_text(encoding="utf-8"), re.MULTILINE)
    top: Any = typer.main.get_command(app)
    commands = {
        f"{name} {child}".strip()
        for name, group in top.commands.items()
        for child in getattr(group, "commands", {"": 0})
    }
    assert set(headings) == commands


def test_every_error_code_and_setting_is_listed() -> None:
    text = COMMAND_LINE.read_text(encoding="utf-8")
    wanted = {getattr(errors, name).code for name in errors.__all__} - {"error"}
    wanted |= {f"MIEN_{field.upper()}" for field in Settings.model_fields}
    assert not {name for name in wanted if f"| `{name}` |" not in text}
