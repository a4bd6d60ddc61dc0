"""The server's fixtures for tests that lie in other folders than its own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["server_fixtures"]

_NAME = "server_fixtures"


def server_fixtures() -> ModuleType:
    """``tests/server/conftest.py`` as a module, loaded once."""
    if _NAME not in sys.modules:
        folder = Path(__file__).parent / "server"
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        spec = importlib.util.spec_from_file_location(_NAME, folder / "conftest.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[_NAME]
