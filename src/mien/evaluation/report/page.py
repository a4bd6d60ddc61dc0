"""One page for one evaluation: a single HTML file that needs nothing else and runs no code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mien._version import __version__
from mien.errors import BadInput
from mien.evaluation.figures import RunFacts
from mien.evaluation.report.drawing import Mark
from mien.evaluation.report.key_figures import open_set_lead, open_set_tiles, pair_lead, pair_tiles
from mien.evaluation.report.pair_plots import det_plot, discard_plot, group_plot, precision_plot, roc_plot, score_plot
from mien.evaluation.report.reliability import measure_reliability, reliability_plot
from mien.evaluation.report.search_plots import open_set_plots
from mien.evaluation.report.svg import require_packages
from mien.evaluation.report.views import (
    Cell,
    Grid,
    cross_grids,
    equity_rows,
    fact_lines,
    grouped_rows,
    grouped_table,
    slice_grids,
)
from mien.evaluation.report.wording import short_percent, shown, titled
from mien.evaluation.report.worst import open_set_couples, pair_couples
from mien.evaluation.results import OpenSetResults, PairResults
from mien.evaluation.uncertainty import Uncertainty
from mien.matching.calibration import Calibration

__all__ = ["open_set_report", "pair_report", "render"]

_MOST_FAILURES = 50


def pair_report(
    results: PairResults,
    *,
    calibration: Calibration | None = None,
    faces: bool = True,
    progress: Callable[[int], None] | None = None,
) -> str:
    """The report of a 1:1 evaluation.

    Args:
        results: what was measured.
        calibration: what scores of the space mean, or None to leave its reliability out.
        faces: with the images of the worst comparisons and the names of samples; without, samples go by number.
        progress: called with the number of replicates drawn for bands since the last call.

    Raises:
        MissingExtra: jinja2, matplotlib or, for the reliability, scikit-learn is not installed.
    """
    require_packages()
    protocol, run, comparisons = results.protocol, results.run, results.comparisons
    how = Uncertainty(run.replicates, run.seed, run.level, progress)
    marks = [Mark("operating threshold", results.threshold)]
    alone = [("", comparisons)]
    plots = [
        det_plot(alone, how, threshold=results.threshold),
        score_plot(comparisons, marks),
        roc_plot(alone),
        precision_plot(alone),
    ]
    if calibration is not None and calibration.space == run.space:
        # Scores that are no cosines have no calibration.
        with suppress(BadInput):
            plots.append(reliability_plot(measure_reliability(comparisons, calibration)))
    if results.discard is not None:
        plots.append(discard_plot(results.discard))
    tables = slice_grids(results.slices)
    if results.folds is not None:
        tables.append(_fold_grid(results))
    groups: dict[str, Any] | None = None
    if results.differentials is not None:
        found = results.differentials
        groups = {
            "table": grouped_table(found),
            "cross": cross_grids(found),
            "equity": equity_rows(found),
            "plot": group_plot(found),
        }
    counts = {figure.name: figure for figure in results.figures}
    people = len(set(protocol.identities.tolist()))
    linked = "" if protocol.identity_source == "named" else ", told apart by the mated pairs"
    facts = [
        (
            "comparisons",
            f"{len(protocol):,}: {shown(counts['mated'].value, 'count')} mated, "
            f"{shown(counts['non_mated'].value, 'count')} non-mated",
        ),
        ("people", f"{people:,}{linked}"),
        ("samples", _samples(results.acquisition.samples, results.acquisition.acquired)),
        ("files not there", f"{len(protocol.missing):,}, pairs left out for that {protocol.left_out:,}"),
    ]
    return render(
        title=f"{run.embedder} on {protocol.name}",
        kind="Verification, 1:1",
        lead=pair_lead(results),
        tiles=pair_tiles(results),
        run=run,
        facts=facts,
        notes=protocol.notes,
        acquisition=_acquisition(results, faces),
        groups_of_rows=grouped_rows(results.figures),
        plots=plots,
        tables=tables,
        quality_cut=results.quality_cut,
        groups=groups,
        worst=pair_couples(results, faces=faces),
        faces=faces,
        source=f"{protocol.name}, trials {protocol.digest}",
    )


def open_set_report(results: OpenSetResults, *, faces: bool = True) -> str:
    """The report of a 1:N evaluation.

    Args:
        results: what was measured.
        faces: with the images of the worst searches and the names of samples; without, samples go by number.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    require_packages()
    run, name = results.run, Path(results.path).name
    facts = [
        (
            "people",
            f"{len(results.people):,}, of whom {short_percent(results.non_mated_share)} are kept out of the gallery",
        ),
        ("splits", f"{len(results.splits)} at random, images enrolled for each person {results.enrolled}"),
        ("searches", f"{len(results.trials.mated_scores):,} mated, {len(results.trials.non_mated_scores):,} non-mated"),
        ("samples", _samples(results.acquisition.samples, results.acquisition.acquired)),
    ]
    return render(
        title=f"{run.embedder} on {name}",
        kind="Identification, 1:N, open-set",
        lead=open_set_lead(results),
        tiles=open_set_tiles(results),
        run=run,
        facts=facts,
        notes=(),
        acquisition=_acquisition(results, faces),
        groups_of_rows=grouped_rows(results.figures),
        plots=open_set_plots(results.trials, results.searches, run.default_threshold),
        tables=[_split_grid(results), *slice_grids(results.slices)],
        quality_cut=results.quality_cut,
        groups=None,
        worst=open_set_couples(results, faces=faces),
        faces=faces,
        source=name,
    )


def render(*, run: RunFacts | None, **content: Any) -> str:
    """Fill the page; everything that is put into it is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = datetime.now(timezone.utc).isoformat(timespec="minutes").removesuffix("+00:00")
    given: dict[str, Any] = {
        "run": None if run is None else run.to_json(),
        "setups": [] if run is None else [("With what, where and when", fact_lines(run.to_json()))],
        "comparison": [],
        "made": f"{made} UTC",
        "version": __version__,
        **content,
    }
    text = environment.get_template("template.html.j2").render(given)
    # A file's name may hold bytes that are no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def _samples(samples: int, acquired: int) -> str:
    return f"{samples:,} images, {acquired:,} with a template"


def _acquisition(results: PairResults | OpenSetResults, faces: bool) -> dict[str, Any]:
    facts = results.acquisition
    named = facts.failures[:_MOST_FAILURES] if faces else ()
    return {
        "samples": facts.samples,
        "acquired": facts.acquired,
        "several": facts.several,
        "reasons": [(code.replace("_", " "), count) for code, count in facts.reasons.items()],
        "failures": named,
        "more": len(facts.failures) - len(named),
    }


def _fold_grid(results: PairResults) -> Grid:
    folds = results.folds
    if folds is None:
        raise BadInput("expected folds, got none")
    rows = zip(
        folds.folds.tolist(), folds.trials.tolist(), folds.accuracies.tolist(), folds.thresholds.tolist(), strict=True
    )
    return Grid(
        "Accuracy by fold",
        "Fold",
        ("Pairs", "Accuracy", "Threshold"),
        tuple(
            (
                str(fold + 1),
                (Cell(f"{n:,}", n), Cell(shown(accuracy, "rate"), accuracy), Cell(shown(limit, "score"), limit)),
            )
            for fold, n, accuracy, limit in rows
        ),
        ("Each fold is decided by the threshold that is best on the others.",),
    )


def _split_grid(results: OpenSetResults) -> Grid:
    # A split whose gallery is smaller, as somebody could not be enrolled, may lack a rank that others have.
    names = list(dict.fromkeys(f.name for split in results.splits for f in split.figures if f.unit == "rate"))
    rows = []
    for split in results.splits:
        found = {figure.name: figure.value for figure in split.figures}
        values = [found.get(name) for name in names]
        cells = [Cell("–" if value is None else shown(value, "rate"), value) for value in values]
        rows.append((str(split.number + 1), tuple(cells)))
    return Grid(
        "By split",
        "Split",
        tuple(titled(name) for name in names),
        tuple(rows),
        ("Each split has a gallery of its own.",),
    )
