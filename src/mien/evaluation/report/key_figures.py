"""What a reader sees first: a sentence, and a few figures in large letters."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.figures import Figure
from mien.evaluation.report.views import Tile, row
from mien.evaluation.report.wording import PERCENT, percent, shown
from mien.evaluation.results import OpenSetResults, PairResults

__all__ = ["open_set_lead", "open_set_tiles", "pair_lead", "pair_tiles"]

_LABELS = {
    "tmr_at_fmr_1e-3": f"recognized at FMR 0.1{PERCENT} (TMR)",
    "tmr_at_fmr_1e-2": f"recognized at FMR 1{PERCENT} (TMR)",
    "fnmr_operating": "missed at the operating threshold (FNMR)",
    "eer": "equal error rate (EER)",
    "accuracy": "accuracy over folds",
    "auc": "area under the ROC (AUC)",
    "fnmr_default": "missed at the model's own threshold (FNMR)",
    "fta": "images without a template (FTA)",
    "tpir_at_fpir_1e-2": f"found at FPIR 1{PERCENT} (TPIR)",
    "tpir_at_fpir_1e-1": f"found at FPIR 10{PERCENT} (TPIR)",
    "rank_1": "right person first (rank 1)",
    "fnir_default": "not found at the model's own threshold (FNIR)",
    "fpir_default": "strangers with a candidate there (FPIR)",
}


def pair_tiles(results: PairResults) -> list[Tile]:
    """The key figures of a 1:1 evaluation."""
    rates = ("tmr_at_fmr_1e-3", "tmr_at_fmr_1e-2", "fnmr_operating")
    return _tiles(results.figures, rates, ("eer",), ("accuracy", "auc"), ("fnmr_default",), ("fta",))


def open_set_tiles(results: OpenSetResults) -> list[Tile]:
    """The key figures of a 1:N evaluation."""
    rates = ("tpir_at_fpir_1e-2", "tpir_at_fpir_1e-1")
    return _tiles(results.figures, rates, ("rank_1",), ("fnir_default",), ("fpir_default",), ("fta",))


def pair_lead(results: PairResults) -> str:
    """A 1:1 evaluation in one sentence."""
    match, miss = results.figure("fmr_operating").value, results.figure("fnmr_operating").value
    if match is None or miss is None:
        return ""
    return (
        f"At threshold {shown(results.threshold, 'score')}, {percent(match)} of the comparisons of different people "
        f"match, and {percent(miss)} of those of one person do not."
    )


def open_set_lead(results: OpenSetResults) -> str:
    """A 1:N evaluation in one sentence."""
    miss, alarm = results.figure("fnir_default").value, results.figure("fpir_default").value
    if miss is None or alarm is None:
        return ""
    return (
        f"In a gallery of {results.trials.gallery_size:,} people, at the model's own threshold "
        f"{shown(results.run.default_threshold, 'score')}, {percent(1 - miss)} of the searches for them name the right "
        f"person first, and {percent(alarm)} of the searches for strangers name somebody."
    )


def _tiles(figures: Sequence[Figure], *wanted: tuple[str, ...]) -> list[Tile]:
    """For each key figure the first of its names that the trials support, else the first that has a value."""
    found = {figure.name: figure for figure in figures}
    tiles = []
    for names in wanted:
        valued = [found[name] for name in names if name in found and found[name].value is not None]
        if valued:
            figure = next((one for one in valued if not one.note.startswith("not supported")), valued[0])
            tiles.append(_tile(figure, found.get(f"{figure.name}_standard_error")))
    return tiles


def _tile(figure: Figure, error: Figure | None) -> Tile:
    view = row(figure)
    told = [view.interval] if view.interval else []
    if error is not None and error.value is not None:
        told = [f"± {percent(error.value)} standard error"]
    note = view.note.partition(":")[0]
    if note in ("few errors", "not supported"):
        told.append(note)
    return Tile(view, _LABELS.get(figure.name, view.title), ", ".join(told))
