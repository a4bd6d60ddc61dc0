"""A table of pairs: ``a,b,same[,fold][,group_a,group_b][,identity_a,identity_b]``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.errors import BadInput
from mien.evaluation.protocols.tables import read_table, truth
from mien.evaluation.protocols.trials import PairProtocol, PairRow, Sample, make_pairs

__all__ = ["PAIR_COLUMNS", "PAIR_OPTIONS", "read_pairs_csv", "with_groups"]

PAIR_COLUMNS = ("a", "b", "same")
PAIR_OPTIONS = ("fold", "group_a", "group_b", "identity_a", "identity_b")


def read_pairs_csv(path: Path, *, images: Path | None = None) -> PairProtocol:
    """Read a table of pairs.

    Columns ``a`` and ``b`` hold paths, from the table's folder on unless they are absolute; ``same`` is 1 or 0 (or
    true/false, yes/no). Optional: ``fold``, any label; ``group_a`` and ``group_b``; ``identity_a`` and ``identity_b``.
    Without identities, images that a chain of mated pairs connects count as one person.

    Args:
        path: the table.
        images: the folder that paths start from; by default the table's.

    Raises:
        BadInput: the table is malformed, lines contradict each other, all pairs are of one kind, or no file is there.
    """
    table = read_table(path, PAIR_COLUMNS, PAIR_OPTIONS)
    for kind in ("group", "identity"):
        if (f"{kind}_a" in table.columns) != (f"{kind}_b" in table.columns):
            raise BadInput(f"{path}: expected both columns {kind}_a and {kind}_b, or neither; got one")
    root = path.parent if images is None else images

    def sample(name: str) -> Sample:
        return Sample(name, str(root / name))

    rows = [
        PairRow(
            sample(row["a"]),
            sample(row["b"]),
            truth(row, "same"),
            row.cells.get("fold") or None,
            row.pair(("identity_a", "identity_b")),
            row.pair(("group_a", "group_b")),
            row.where,
        )
        for row in table.rows
    ]
    notes = [f"columns not used: {', '.join(table.ignored)}"] if table.ignored else []
    return make_pairs(path.stem, path, rows, notes=notes)


def with_groups(protocol: PairProtocol, path: Path) -> PairProtocol:
    """A protocol whose samples have the groups that a table gives them.

    Args:
        protocol: any pairs.
        path: a table with columns ``image,group``; an image is named as the protocol names it, or by its path.

    Returns:
        The protocol with these groups; images that the table does not name belong to none.

    Raises:
        BadInput: the table is malformed, names an image twice with two groups, or none of the protocol's.
    """
    table = read_table(path, ("image", "group"))
    given: dict[str, str] = {}
    for row in table.rows:
        known = given.setdefault(row["image"], row["group"])
        if known != row["group"]:
            raise BadInput(f"{row.where}: {row['image']} is of group {known!r} in another line, got {row['group']!r}")
    words = [
        given.get(s.name) or given.get(s.source if isinstance(s.source, str) else s.name) for s in protocol.samples
    ]
    found = sorted({word for word in words if word is not None})
    if not found:
        example = protocol.samples[0].name
        raise BadInput(
            f"{path}: expected images of the protocol, as {example!r}, found none of them in {len(given)} lines"
        )
    numbers = {name: number for number, name in enumerate(found)}
    labels = np.asarray([-1 if word is None else numbers[word] for word in words], np.int64)
    lacking = words.count(None)
    notes = protocol.notes if not lacking else (*protocol.notes, f"images without a group: {lacking} of {len(words)}")
    return replace(protocol, groups=labels, group_names=tuple(found), notes=notes)
