"""CFP in its own layout: frontal against frontal (FF) and frontal against profile (FP).

Sengupta and others, "Frontal to Profile Face Verification in the Wild", 2016; the layout is that of the set's readme:
``Protocol/Pair_list_F.txt`` and ``_P.txt`` number the images, ``Protocol/Split/FP/01/same.txt`` and ``diff.txt`` pair
the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mien.errors import BadInput
from mien.evaluation.protocols.tables import decoded
from mien.evaluation.protocols.trials import PairProtocol, PairRow, Sample, make_pairs

__all__ = ["is_cfp", "read_cfp"]


def is_cfp(path: Path) -> bool:
    """Whether a folder has CFP's layout."""
    return (path / "Protocol" / "Split").is_dir()


def read_cfp(path: Path, kind: Literal["FF", "FP"]) -> PairProtocol:
    """Read the pairs of one of CFP's two protocols.

    Args:
        path: the set's folder, which holds ``Protocol`` and ``Data``.
        kind: ``FF`` or ``FP``.

    Raises:
        BadInput: the folder has another layout, a file cannot be read, a line is no pair, or no image is there.
    """
    split = path / "Protocol" / "Split" / kind
    if not split.is_dir():
        raise BadInput(f"{path}: expected CFP's layout, found no folder {split}")
    folds = sorted(fold for fold in split.iterdir() if fold.is_dir())
    if not folds:
        raise BadInput(f"{split}: expected a folder for each fold, found none")
    first = _listing(path, "F")
    second = first if kind == "FF" else _listing(path, "P")
    rows = [
        row
        for fold in folds
        for file, mated in ((fold / "same.txt", True), (fold / "diff.txt", False))
        for row in _pairs(file, mated, fold.name, first, second)
    ]
    return make_pairs(f"cfp-{kind.lower()}", path, rows)


def _listing(root: Path, letter: str) -> dict[int, tuple[Sample, str]]:
    """Image and person by number."""
    file = root / "Protocol" / f"Pair_list_{letter}.txt"
    found = {}
    for k, line in enumerate(decoded(file).splitlines(), 1):
        if not line.strip():
            continue
        number, _, below = line.strip().partition(" ")
        below = below.strip().replace("\\", "/").removeprefix("../")
        parts = below.split("/")
        if not number.isdigit() or len(parts) < 3 or ".." in parts:
            raise BadInput(f"{file}, line {k}: expected a number and ../Data/Images/PERSON/KIND/FILE, got {line!r}")
        found[int(number)] = Sample(below, str(root / below)), parts[-3]
    return found


def _pairs(
    file: Path, mated: bool, fold: str, first: dict[int, tuple[Sample, str]], second: dict[int, tuple[Sample, str]]
) -> Iterator[PairRow]:
    for k, line in enumerate(decoded(file).split(), 1):
        where = f"{file}, pair {k}"
        a, _, b = line.partition(",")
        if not a.isdigit() or not b.isdigit():
            raise BadInput(f"{where}: expected two numbers, as 12,34, got {line!r}")
        if int(a) not in first or int(b) not in second:
            raise BadInput(f"{where}: expected numbers of the pair lists, got {line!r}")
        (left, one), (right, other) = first[int(a)], second[int(b)]
        yield PairRow(left, right, mated, fold, (one, other), where=where)
