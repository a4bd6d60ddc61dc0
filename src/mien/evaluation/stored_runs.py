"""Runs that were written to JSON files, read again to be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons
from mien.evaluation.results import FORMAT

__all__ = ["StoredRun", "read_run"]


@dataclass(frozen=True, slots=True, eq=False)
class StoredRun:
    """A pair evaluation as its JSON file tells it.

    Attributes:
        path: the file.
        name: the protocol's name.
        digest: equal for runs over the same trials.
        space: the embedding space.
        comparisons: the trials.
        facts: with what, where and when they were made, as ``RunFacts.to_json`` has it.
    """

    path: str
    name: str
    digest: str
    space: str
    comparisons: Comparisons
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_run(path: Path) -> StoredRun:
    """Read the trials out of a file of ``PairResults.to_json``.

    Raises:
        BadInput: it cannot be read, is no such file, or holds no trials.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path}: expected JSON, {error}") from error
    kind = (found.get("format"), found.get("kind")) if isinstance(found, dict) else (None, None)
    if kind != (FORMAT, "pairs"):
        raise BadInput(
            f"{path}: expected a report of mien evaluate pairs ({FORMAT}), got format {kind[0]!r}, {kind[1]!r}"
        )
    if "trials" not in found:
        raise BadInput(f"{path}: expected the trials in the report, found none")
    try:
        trials = found["trials"]
        left, right = (np.asarray(trials[side], np.int64) for side in ("left", "right"))
        identities = np.asarray(trials["identities"], np.int64)
        folds = None if trials["folds"] is None else np.asarray(trials["folds"], np.int64)
        scores = np.asarray([math.nan if score is None else score for score in trials["scores"]], np.float64)
        comparisons = Comparisons(
            scores, np.asarray(trials["mated"], np.bool_), left, right, identities[left], identities[right], folds
        )
        protocol, run = found["protocol"], dict(found["run"])
        return StoredRun(str(path), protocol["name"], protocol["digest"], run["space"], comparisons, run)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInput(f"{path}: is damaged: {type(error).__name__}: {error}") from error
