"""What training needs beyond the base install, asked for by name before it is imported."""

from __future__ import annotations

import importlib.util

from mien.errors import MissingExtra

__all__ = ["need_parquet", "need_torch"]


def need_torch() -> None:
    """Make sure that PyTorch is there.

    Raises:
        MissingExtra: it is not.
    """
    _need("torch", "train", "training")


def need_parquet() -> None:
    """Make sure that Parquet files can be read and written.

    Raises:
        MissingExtra: pyarrow is not there.
    """
    _need("pyarrow", "train", "an index of training images")


def _need(module: str, extra: str, purpose: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f"{purpose} needs the package {module}: pip install 'mien[{extra}]'")
