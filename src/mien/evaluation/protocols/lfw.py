"""LFW's ``pairs.txt`` beside its folders of images (vis-www.cs.umass.edu/lfw, README of the set)."""

from __future__ import annotations

from pathlib import Path

from mien.errors import BadInput
from mien.evaluation.protocols.tables import decoded
from mien.evaluation.protocols.trials import PairProtocol, PairRow, Sample, make_pairs

__all__ = ["PAIRS_FILE", "read_lfw"]

PAIRS_FILE = "pairs.txt"
_SUFFIXES = (".jpg", ".png", ".jpeg")


def read_lfw(path: Path, *, images: Path | None = None) -> PairProtocol:
    """Read LFW's pairs.

    The first line says how many folds there are and how many mated pairs each has; as many non-mated ones follow in
    each fold. A line of three cells is a mated pair (name, number, number), one of four a non-mated one (name, number,
    name, number). With one number in the first line there is a single set without folds.

    Args:
        path: the set's folder, or the file of pairs itself.
        images: the folder that holds a folder for each person; by default looked for beside the pairs: ``images``,
            the folder itself, or a folder in it.

    Raises:
        BadInput: the file cannot be read, a line is neither of the two kinds, or there are more or fewer than the first
            line says; none of the images is there.
    """
    file = path / PAIRS_FILE if path.is_dir() else path
    lines = [(k, line.split()) for k, line in enumerate(decoded(file).splitlines(), 1) if line.strip()]
    if not lines or not all(cell.isdigit() for cell in lines[0][1]) or len(lines[0][1]) not in (1, 2):
        found = " ".join(lines[0][1]) if lines else "an empty file"
        raise BadInput(f"{file}: expected folds and pairs a fold in the first line, as '10 300', got {found!r}")
    counts = [int(cell) for cell in lines[0][1]]
    folds, per_kind = counts if len(counts) == 2 else (1, counts[0])
    if len(lines) - 1 != 2 * folds * per_kind:
        raise BadInput(
            f"{file}: expected {folds} folds of {per_kind} mated and {per_kind} non-mated pairs, "
            f"{2 * folds * per_kind} lines, as its first line says, got {len(lines) - 1}"
        )
    root = images if images is not None else _images(file.parent, lines[1][1][0] if len(lines) > 1 else "")
    rows: list[PairRow] = []
    for k, (number, cells) in enumerate(lines[1:]):
        where = f"{file}, line {number}"
        mated = k % (2 * per_kind) < per_kind
        if len(cells) != (3 if mated else 4):
            kind = "mated pair, name and two numbers" if mated else "non-mated pair, name, number, name, number"
            raise BadInput(f"{where}: expected a {kind}, got {' '.join(cells)!r}")
        names = (cells[0], cells[0] if mated else cells[2])
        a, b = (_image(root, n, digits, where) for n, digits in zip(names, (cells[1], cells[-1]), strict=True))
        rows.append(PairRow(a, b, mated, str(k // (2 * per_kind)) if folds > 1 else None, names, where=where))
    return make_pairs("lfw", file, rows)


def _image(root: Path, name: str, digits: str, where: str) -> Sample:
    if not digits.isdigit():
        raise BadInput(f"{where}: expected an image's number, got {digits!r}")
    if "/" in name or "\\" in name or name.startswith("."):
        raise BadInput(f"{where}: expected a person's name, got {name!r}")
    below = f"{name}/{name}_{int(digits):04d}"
    found = next((below + suffix for suffix in _SUFFIXES if (root / (below + suffix)).is_file()), below + _SUFFIXES[0])
    return Sample(found, str(root / found))


def _images(folder: Path, person: str) -> Path:
    """The folder with a folder for each person."""
    inside = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    places = [folder / "images", folder, *inside]
    return next((place for place in places if (place / person).is_dir()), places[0])
