"""The errors of groups as figures, each with its definition."""

from __future__ import annotations

import math
from typing import Any

from mien.evaluation.differential import Differentials, GroupRate
from mien.evaluation.figures import Figure, finite

__all__ = ["equity_figures", "group_figures", "groups_json"]


def group_figures(found: Differentials) -> list[tuple[str, list[Figure]]]:
    """FMR and FNMR within each group, by name."""
    return [
        (
            name,
            [
                _figure("fmr", "False match rate of non-mated comparisons within the group.", of_non_mated),
                _figure("fnmr", "False non-match rate of mated comparisons within the group.", of_mated),
            ],
        )
        for name, of_non_mated, of_mated in zip(found.names, found.fmr, found.fnmr, strict=True)
    ]


def equity_figures(found: Differentials) -> list[Figure]:
    """What sums up how far the groups are apart; no value where there are fewer than two groups."""
    figures = []
    for name, equity, words in (
        ("fmr_max_min", found.fmr_max_min, "Highest group's FMR over the lowest's (NIST IR 8429)."),
        ("fmr_max_mean", found.fmr_max_mean, "Highest group's FMR over the geometric mean of all (NIST IR 8429)."),
        ("fnmr_max_min", found.fnmr_max_min, "Highest group's FNMR over the lowest's (NIST IR 8429)."),
        ("fnmr_max_mean", found.fnmr_max_mean, "Highest group's FNMR over the geometric mean of all (NIST IR 8429)."),
        ("fdr", found.fdr, f"Fairness discrepancy rate (ISO/IEC 19795-10), alpha {found.alpha:g}; 1 is no difference."),
    ):
        note = ""
        if math.isnan(equity.value):
            note = "fewer than two groups with such comparisons"
        elif math.isinf(equity.value):
            note = "infinite: a group has no error, and another has"
        elif name != "fdr" and not any(rate.errors for rate in (found.fmr if name.startswith("fmr") else found.fnmr)):
            note = "no group has an error: this says nothing about how far they are apart"
        figures.append(Figure(name, finite(equity.value), words, "ratio", equity.interval, note))
    return figures


def groups_json(found: Differentials) -> dict[str, Any]:
    """All of it as JSON values; the matrices are in the order of ``names``, null where nothing was compared."""

    def matrix(rows: list[list[float]]) -> list[list[float | None]]:
        return [[finite(value) for value in row] for row in rows]

    return {
        "threshold": found.threshold,
        "names": list(found.names),
        "groups": [
            {
                "name": name,
                "non_mated": of_non_mated.comparisons,
                "mated": of_mated.comparisons,
                "people": max(of_non_mated.people, of_mated.people),
                "figures": [figure.to_json() for figure in figures],
            }
            for (name, figures), of_non_mated, of_mated in zip(group_figures(found), found.fmr, found.fnmr, strict=True)
        ],
        "cross_fmr": matrix(found.cross_fmr.tolist()),
        "cross_fnmr": matrix(found.cross_fnmr.tolist()),
        "cross_non_mated": found.cross_non_mated.tolist(),
        "cross_mated": found.cross_mated.tolist(),
        "figures": [figure.to_json() for figure in equity_figures(found)],
        "left_out": found.left_out,
    }


def _figure(name: str, definition: str, rate: GroupRate) -> Figure:
    return Figure(name, finite(rate.rate), definition, "rate", rate.interval, rate.remark or "")
