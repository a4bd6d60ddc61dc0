"""mien: open face recognition. Detect, verify, enroll and identify faces, on your own machine.

Start with ``Recognizer``; ``open_gallery`` gives it a place to keep people. The packages below it, one a task, can
be used by themselves: ``mien.images``, ``mien.zoo``, ``mien.runtimes``, ``mien.detection``, ``mien.alignment``,
``mien.embedding``, ``mien.matching``, ``mien.galleries``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mien._version import __version__

if TYPE_CHECKING:
    from mien.client import AsyncClient, Client
    from mien.errors import MienError
    from mien.galleries import Gallery, open_gallery
    from mien.images import load
    from mien.recognizer import Recognizer, Settings
    from mien.types import Analysis, Chips, Enrollment, Faces, Match, Templates, Verification

__all__ = [
    "Analysis",
    "AsyncClient",
    "Chips",
    "Client",
    "Enrollment",
    "Faces",
    "Gallery",
    "Match",
    "MienError",
    "Recognizer",
    "Settings",
    "Templates",
    "Verification",
    "__version__",
    "load",
    "open_gallery",
]

# Imported when first asked for: the command line's help needs none of them, and they bring NumPy and pydantic.
_HOMES = {
    "mien.client": ("AsyncClient", "Client"),
    "mien.errors": ("MienError",),
    "mien.galleries": ("Gallery", "open_gallery"),
    "mien.images": ("load",),
    "mien.recognizer": ("Recognizer", "Settings"),
    "mien.types": ("Analysis", "Chips", "Enrollment", "Faces", "Match", "Templates", "Verification"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'mien' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
