from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from mien.errors import ModelNotFound
from mien.zoo.sources import is_remote, local_file, suffix_of


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site" / "zoo_test_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('this package must not be imported')\n")
    (folder / "models" / "a b.onnx").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def test_a_file_in_a_package_is_found_without_importing_it(package: Path) -> None:
    assert local_file("package://zoo_test_weights/models/a%20b.onnx") == package / "models" / "a b.onnx"
    assert "zoo_test_weights" not in sys.modules


def test_a_package_without_the_file(package: Path) -> None:
    with pytest.raises(ModelNotFound, match="zoo_test_weights is installed but holds no such file"):
        local_file("package://zoo_test_weights/models")
    with pytest.raises(ModelNotFound, match="holds no such file"):
        local_file("package://zoo_test_weights/other.onnx")


def test_an_absent_package_names_its_extra() -> None:
    with pytest.raises(ModelNotFound, match=r"^package zoo_test_absent is not installed$"):
        local_file("package://zoo_test_absent/a.onnx")
    with pytest.raises(ModelNotFound, match=r"pip install 'mien\[dlib\]'"):
        local_file("package://zoo_test_absent/a.onnx", extra="dlib")


def test_modules_that_are_no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zoo_test_bare", ModuleType("zoo_test_bare"))
    for name in ("zoo_test_bare", "this"):
        with pytest.raises(ModelNotFound, match="is not installed"):
            local_file(f"package://{name}/a.onnx")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a model.onnx"
    path.write_bytes(b"weights")
    assert local_file(path.as_uri()) == path
    with pytest.raises(ModelNotFound, match="no such file"):
        local_file(tmp_path.as_uri())
    with pytest.raises(ModelNotFound, match="no such file"):
        local_file((tmp_path / "none").as_uri())


def test_what_a_source_says() -> None:
    assert is_remote("https://example.org/a")
    assert is_remote("http://localhost/a")
    assert not is_remote("file:///a")
    assert not is_remote("package://p/a")
    assert suffix_of("https://example.org/a.b/model.dat?download=true") == ".dat"
    assert suffix_of("package://p/models/model") == ".onnx"
