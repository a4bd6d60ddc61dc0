"""The rules that the code keeps, read from the code itself."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import mien

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "mien"
LEVELS = {
    **dict.fromkeys(("_version", "types", "errors", "geometry"), 0),
    **dict.fromkeys(("images", "zoo"), 1),
    "runtimes": 2,
    **dict.fromkeys(("detection", "alignment", "quality", "embedding"), 3),
    "matching": 4,
    "galleries": 5,
    "recognizer": 6,
    **dict.fromkeys(("evaluation", "streams"), 7),
    **dict.fromkeys(("training", "server", "client"), 8),
    "cli": 9,
}
# These stand outside the levels: the package's face, its tests' stand-ins and the way to start it.
OUTSIDE = {"__init__", "__main__", "testing"}
FORBIDDEN_NAMES = {"utils", "util", "core", "helpers", "common", "misc"}
MOST_LINES = 400
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(SOURCE)], "mien.") if not m.name.endswith("__main__"))


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "mien":
                names = [f"mien.{a.name}" for a in node.names]
        parts |= {n.split(".")[1] for n in names if n.startswith("mien.")}
    return parts


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downward(path: Path) -> None:
    part = part_of(path)
    if part in OUTSIDE:
        return
    assert part in LEVELS, f"{part} has no level"
    for other in imported_parts(path) - {part}:
        assert other in LEVELS, f"{path.name} imports mien.{other}, which has no level"
        assert LEVELS[other] < LEVELS[part] or LEVELS[part] == 0 == LEVELS[other], (
            f"{path.name} (level {LEVELS[part]}) imports mien.{other} (level {LEVELS[other]})"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_short_and_quiet(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert path.stem not in FORBIDDEN_NAMES
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    printing = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert not printing or path == SOURCE / "cli" / "output.py", "print belongs to the command line's output module"


@pytest.mark.parametrize("name", MODULES)
def test_all_is_true(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None)
    if public is None:
        return
    missing = [n for n in public if not hasattr(module, n)]
    assert not missing
    assert len(set(public)) == len(public)


@pytest.mark.parametrize("name", sorted(n for n in MODULES if n.count(".") == 1 and (SOURCE / n[5:]).is_dir()))
def test_packages_name_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    assert hasattr(module, "__all__"), f"{name} has no __all__"


@pytest.mark.parametrize("part", ["all but training", "training"])
def test_importing_has_no_effects(tmp_path: Path, part: str) -> None:
    """Importing opens no socket, reads no MIEN_ variable, writes no file, and brings no heavy package with it.

    Training is made of PyTorch's modules, which are imported first: what that does is not mien's doing.
    """
    training = [name for name in MODULES if name.startswith("mien.training")]
    if part == "training":
        pytest.importorskip("torch")
        names = ["torch", "torch.distributed", "torch.nn.parallel", *training]
    else:
        names = [name for name in MODULES if name not in training and not name.startswith("mien.cli")]
    script = """
import importlib, os, sys
names = sys.argv[1:]
while names and names[0].startswith("torch"):
    importlib.import_module(names.pop(0))
seen = []
def audit(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.rename"):
        seen.append(event)
    if event == "open" and isinstance(args[1], str) and any(m in args[1] for m in "wax+"):
        seen.append(f"open {args[0]} for writing")
sys.addaudithook(audit)
class Watched(type(os.environ)):
    def __getitem__(self, key):
        if str(key).startswith("MIEN"):
            seen.append(f"environment {key}")
        return super().__getitem__(key)
os.environ.__class__ = Watched
for name in names:
    importlib.import_module(name)
allowed = ("torch",) if "torch" in sys.argv else ()
packages = ("onnx", "openvino", "torch", "pyarrow", "typer", "onnxruntime", "tensorboard", "matplotlib", "sklearn")
print(seen, [package for package in packages if package in sys.modules and package not in allowed])
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *names], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout.strip() == "[] []", done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_every_error_has_a_code_of_its_own() -> None:
    from mien import errors

    classes = [getattr(errors, n) for n in errors.__all__]
    codes = [c.code for c in classes]
    assert len(set(codes)) == len(codes)
    assert all(issubclass(c, mien.MienError) for c in classes)


def test_the_project_lists_its_changes() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
