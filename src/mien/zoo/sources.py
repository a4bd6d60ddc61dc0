"""What a card's sources mean, and those on this machine: inside an installed package, or anywhere on the disk."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mien.errors import ModelNotFound

__all__ = ["Progress", "is_remote", "local_file", "suffix_of"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes fetched and their final number (None while unknown)."""


def is_remote(source: str) -> bool:
    """Whether ``source`` has to be fetched over HTTP."""
    return urlsplit(source).scheme in ("http", "https")


def suffix_of(source: str) -> str:
    """The file suffix that ``source`` names, ``".onnx"`` if it names none."""
    suffix = PurePosixPath(unquote(urlsplit(source).path)).suffix
    return suffix if suffix else ".onnx"


def local_file(source: str, *, extra: str | None = None) -> Path:
    """The file that a ``package://`` or ``file://`` source names.

    The package is looked up, never imported: its code does not run.

    Args:
        source: the source, as a card states it.
        extra: the extra of mien that installs the package, for the error message.

    Raises:
        ModelNotFound: the package is not installed, or the file is not there; the message says which.
    """
    parts = urlsplit(source)
    if parts.scheme == "file":
        # Imported here because urllib.request takes 0.1 s, which most starts can do without.
        from urllib.request import url2pathname

        path = Path(url2pathname(parts.path))
        if not path.is_file():
            raise ModelNotFound("there is no such file")
        return path
    folders = _package_folders(parts.netloc)
    if not folders:
        cure = f"; install it with: pip install 'mien[{extra}]'" if extra is not None else ""
        raise ModelNotFound(f"package {parts.netloc} is not installed{cure}")
    for folder in folders:
        path = folder / unquote(parts.path).lstrip("/")
        if path.is_file():
            return path
    raise ModelNotFound(f"package {parts.netloc} is installed but holds no such file")


def _package_folders(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:
        # A module put into sys.modules by hand, without a spec, has no folder to look in.
        return []
    if spec is None or spec.submodule_search_locations is None:
        return []
    return [Path(folder) for folder in spec.submodule_search_locations]
