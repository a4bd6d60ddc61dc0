"""Templates of several images each, as in IJB: which image belongs to which template, and which are compared."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.protocols.pairs_csv import PAIR_COLUMNS, PAIR_OPTIONS
from mien.evaluation.protocols.tables import read_table, truth
from mien.evaluation.protocols.trials import PairProtocol, PairRow, Sample, make_pairs, numbered

__all__ = ["TemplateProtocol", "read_templates_csv"]


@dataclass(frozen=True, slots=True, eq=False)
class TemplateProtocol:
    """Templates made of several images, and their comparisons.

    Attributes:
        images: the m images, each once.
        image: ``(k,) int64``, the image of each membership.
        template: ``(k,) int64``, which of ``pairs.samples`` it belongs to.
        media: ``(k,) int64``; memberships of one number are frames of one medium (a video), pooled first.
        pairs: the comparisons; its samples are the templates.
    """

    images: tuple[Sample, ...]
    image: NDArray[np.int64]
    template: NDArray[np.int64]
    media: NDArray[np.int64]
    pairs: PairProtocol


def read_templates_csv(templates: Path, pairs: Path, *, images: Path | None = None) -> TemplateProtocol:
    """Read the table of templates and that of their comparisons.

    Args:
        templates: columns ``template,image[,identity][,media]``, a line an image; paths from the table's folder on.
            An image may belong to several templates. Images of one template and one ``media`` are frames of one video.
        pairs: columns ``a,b,same[,fold][,group_a,group_b]``, where a and b are templates.
        images: the folder that paths start from; by default the table's.

    Raises:
        BadInput: a table is malformed, a pair names a template that is not there, identities and pairs contradict each
            other, or no file is there.
    """
    table = read_table(templates, ("template", "image"), ("identity", "media"))
    root = templates.parent if images is None else images
    owners: dict[str, str | None] = {}
    for row in table.rows:
        identity = row.cells.get("identity") or None
        known = owners.setdefault(row["template"], identity)
        if known != identity:
            raise BadInput(
                f"{row.where}: template {row['template']!r} is of {known!r} in another line, got {identity!r}"
            )
    comparisons = read_table(pairs, PAIR_COLUMNS, PAIR_OPTIONS)
    rows: list[PairRow] = []
    for row in comparisons.rows:
        for name in (row["a"], row["b"]):
            if name not in owners:
                raise BadInput(f"{row.where}: expected a template of {templates}, got {name!r}")
        one, other = owners[row["a"]], owners[row["b"]]
        named = (one, other) if one is not None and other is not None else row.pair(("identity_a", "identity_b"))
        groups = row.pair(("group_a", "group_b"))
        fold = row.cells.get("fold") or None
        # A template is no file of its own: whether its images are there is checked below.
        a, b = Sample(row["a"], b""), Sample(row["b"], b"")
        rows.append(PairRow(a, b, truth(row, "same"), fold, named, groups, row.where))
    made = make_pairs(templates.stem, templates, rows)
    numbers = {sample.name: number for number, sample in enumerate(made.samples)}
    chosen = [row for row in table.rows if row["template"] in numbers]
    files = {name: os.path.join(root, name) for name in dict.fromkeys(row["image"] for row in chosen)}
    present = {name: number for number, name in enumerate(n for n, file in files.items() if os.path.isfile(file))}
    if not present:
        raise BadInput(f"{templates}: none of its {len(files)} images is there, as {next(iter(files.values()))!r}")
    there = [row for row in chosen if row["image"] in present]
    words = [row.cells.get("media") or f"\0{k}" for k, row in enumerate(there)]
    media, _ = numbered([f"{row['template']}\0{word}" for row, word in zip(there, words, strict=True)])
    return TemplateProtocol(
        images=tuple(Sample(name, files[name]) for name in present),
        image=np.asarray([present[row["image"]] for row in there], np.int64),
        template=np.asarray([numbers[row["template"]] for row in there], np.int64),
        media=media,
        pairs=replace(made, missing=tuple(name for name in files if name not in present)),
    )
