"""Protocols: which images are compared with which, read from the forms that sets come in.

- ``trials``: ``PairProtocol``, what all pair protocols become, with its checks.
- ``lfw``, ``cfp``, ``bin_file``, ``pairs_csv``: LFW's ``pairs.txt``, CFP's folders, insightface's ``.bin``, any table.
- ``people``: a folder of people, for 1:N; ``media_csv``: templates of several images, as in IJB.
- ``tables``: reading such tables with whatever separator and byte-order mark.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from mien.errors import BadInput
from mien.evaluation.protocols.bin_file import read_bin
from mien.evaluation.protocols.cfp import is_cfp, read_cfp
from mien.evaluation.protocols.lfw import PAIRS_FILE, read_lfw
from mien.evaluation.protocols.media_csv import TemplateProtocol, read_templates_csv
from mien.evaluation.protocols.pairs_csv import read_pairs_csv, with_groups
from mien.evaluation.protocols.people import PeopleFolder, read_people
from mien.evaluation.protocols.tables import decoded
from mien.evaluation.protocols.trials import PairProtocol, PairRow, Sample, make_pairs

__all__ = [
    "PairKind",
    "PairProtocol",
    "PairRow",
    "PeopleFolder",
    "Sample",
    "TemplateProtocol",
    "make_pairs",
    "read_bin",
    "read_cfp",
    "read_lfw",
    "read_pairs",
    "read_pairs_csv",
    "read_people",
    "read_templates_csv",
    "with_groups",
]

PairKind = Literal["lfw", "cfp-ff", "cfp-fp", "bin", "csv"]


def read_pairs(path: Path | str, kind: PairKind | None = None, *, images: Path | None = None) -> PairProtocol:
    """Read a pair protocol.

    Args:
        path: LFW's or CFP's folder, LFW's ``pairs.txt``, a ``.bin`` file or a table of pairs.
        kind: which form it has; None to tell by what is there.
        images: where LFW's people or the table's paths start; by default beside the pairs.

    Raises:
        BadInput: there is nothing at ``path``, its form cannot be told, or it is malformed; see the readers.
    """
    place = Path(path)
    if not place.exists():
        raise BadInput(f"{place}: expected a protocol's folder or file, got nothing of that name")
    chosen = _kind(place) if kind is None else kind
    if chosen == "lfw":
        return read_lfw(place, images=images)
    if chosen in ("cfp-ff", "cfp-fp"):
        return read_cfp(place, "FF" if chosen == "cfp-ff" else "FP")
    if chosen not in get_args(PairKind):
        raise BadInput(f"protocol: expected one of {', '.join(get_args(PairKind))}, got {chosen!r}")
    if not place.is_file():
        raise BadInput(f"{place}: expected a file for protocol {chosen!r}, got a folder")
    return read_bin(place) if chosen == "bin" else read_pairs_csv(place, images=images)


def _kind(path: Path) -> PairKind:
    if path.is_dir():
        if (path / PAIRS_FILE).is_file():
            return "lfw"
        if is_cfp(path):
            raise BadInput(f"{path}: this is CFP, which has two protocols: say cfp-ff or cfp-fp (--protocol)")
        raise BadInput(f"{path}: expected LFW's {PAIRS_FILE} or CFP's Protocol/Split in this folder, found neither")
    if path.suffix.lower() == ".bin":
        return "bin"
    first = next((line.split() for line in decoded(path).splitlines() if line.strip()), [])
    return "lfw" if first and len(first) <= 2 and all(cell.isdigit() for cell in first) else "csv"
