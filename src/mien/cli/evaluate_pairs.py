"""``mien evaluate pairs``, ``templates`` and ``compare``: 1:1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.evaluate_options import (
    Acquiring,
    ByQuality,
    Intervals,
    ReportFiles,
    ReportOption,
    check_page,
    report_failures,
    report_missing,
    write_page,
)
from mien.cli.evaluate_tables import show_acquisition, show_figures, show_folds, show_groups, show_slices, shown, words
from mien.cli.options import Tuning
from mien.cli.output import Output

if TYPE_CHECKING:
    from mien.evaluation import PairKind, PairResults, RunComparison
    from mien.matching.calibration import Calibration

__all__ = ["compare", "pairs", "templates"]

_LEAST_P = 1e-4
_LETTERS = "BCDEFGHIJKLMNOPQRSTUVWXYZ"

FmrOption = Annotated[
    float,
    typer.Option(
        "--fmr", min=1e-9, max=0.5, help="False match rate of the threshold at which parts and groups are compared."
    ),
]


@command
def pairs(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="LFW's or CFP's folder, LFW's pairs.txt, a .bin file, or a table of pairs: "
            "a,b,same[,fold][,group_a,group_b][,identity_a,identity_b].",
        ),
    ],
    tuning: Tuning,
    acquiring: Acquiring,
    by_quality: ByQuality,
    intervals: Intervals,
    reports: ReportFiles,
    output: Output,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="lfw|cfp-ff|cfp-fp|bin|csv",
            show_default=False,
            help="The form of PATH; by default told by what is there.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            exists=True,
            show_default=False,
            help="Where LFW's people, or the paths in a table, start; by default beside PATH.",
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            dir_okay=False,
            show_default=False,
            help="A table image,group: demographic or any other groups, such as masked and unmasked.",
        ),
    ] = None,
    fmr: FmrOption = 1e-3,
) -> None:
    """Measure 1:1 error rates on pairs of images, with intervals.

    Each image's face goes through the recognizer as it is set up here; images without one are counted as failures to
    acquire. An interrupted run is gone on with by the same command.

    Example: mien evaluate pairs lfw/ --runtime openvino --json-report lfw.json

    Example: mien evaluate pairs cfp/ --protocol cfp-fp --report cfp.html

    Example: mien evaluate pairs own-pairs.csv --embedder dlib-resnet
    """
    from mien.evaluation import evaluate_pairs, read_pairs, with_groups

    reports.check()
    read = read_pairs(path, _kind(protocol), images=images)
    if groups is not None:
        read = with_groups(read, groups)
    report_missing(read, output)
    recognizer = tuning.recognizer()
    with acquiring.work(recognizer, str(path), len(read.samples), output) as work:
        results = evaluate_pairs(
            recognizer,
            read,
            face=acquiring.rule,
            quality=by_quality.quality,
            keep=work.file,
            progress=work.images,
            uncertainty=intervals.uncertainty(work.intervals),
            operating_fmr=fmr,
            quality_cut=by_quality.quality_cut,
        )
        work.measured()
        _tell(results, recognizer.calibration, reports, output)


@command
def templates(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CSV", dir_okay=False, show_default=False, help="A table template,image[,identity][,media]."
        ),
    ],
    tuning: Tuning,
    acquiring: Acquiring,
    by_quality: ByQuality,
    intervals: Intervals,
    reports: ReportFiles,
    output: Output,
    pairs: Annotated[
        Path,
        typer.Option(
            "--pairs", metavar="CSV", dir_okay=False, show_default=False, help="A table a,b,same of template names."
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, exists=True, show_default=False, help="Where the paths in the table start."
        ),
    ] = None,
    fmr: FmrOption = 1e-3,
) -> None:
    """Measure 1:1 error rates of templates of several images each, as in IJB.

    The frames of one medium are averaged first, then the media of a template; with --quality, weighted by it.

    Example: mien evaluate templates media.csv --pairs comparisons.csv
    """
    from mien.evaluation import evaluate_templates, read_templates_csv

    reports.check()
    read = read_templates_csv(path, pairs, images=images)
    report_missing(read.pairs, output)
    recognizer = tuning.recognizer()
    with acquiring.work(recognizer, str(path), len(read.images), output) as work:
        results = evaluate_templates(
            recognizer,
            read,
            face=acquiring.rule,
            quality=by_quality.quality,
            keep=work.file,
            progress=work.images,
            uncertainty=intervals.uncertainty(work.intervals),
            operating_fmr=fmr,
            quality_cut=by_quality.quality_cut,
        )
        work.measured()
        _tell(results, recognizer.calibration, reports, output)


@command
def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A.json", dir_okay=False, show_default=False, help="A run's --json-report.")
    ],
    others: Annotated[
        list[Path],
        typer.Argument(
            metavar="B.json...", dir_okay=False, show_default=False, help="Others' over the same pairs, one or more."
        ),
    ],
    intervals: Intervals,
    output: Output,
    report: ReportOption = None,
) -> None:
    """Tell whether one run is better than others on the same pairs, and how sure that is.

    People are drawn anew many times, for both runs alike; the difference is A less B. Of several others each is
    compared with A.

    Example: mien evaluate compare sface.json dlib.json

    Example: mien evaluate compare sface.json dlib.json own.json --report compared.html
    """
    from mien.evaluation import compare_runs, read_run
    from mien.evaluation.report import comparison_report

    if len(others) > len(_LETTERS):
        raise typer.BadParameter(f"expected at most {len(_LETTERS)} other runs, got {len(others)}")
    if intervals.replicates < 2:
        raise typer.BadParameter(
            f"expected at least 2, as the intervals are what is compared by, got {intervals.replicates}",
            param_hint="--replicates",
        )
    check_page(report)
    first, runs = read_run(a), [read_run(path) for path in others]
    with output.progress("intervals", None, unit="replicates") as drawn:
        found = [compare_runs(first, run, intervals.uncertainty(drawn)) for run in runs]
    for one, letter in zip(found, _LETTERS, strict=False):
        _show_comparison(one, letter, intervals.level, output)
    output.say("differences in percentage points; a comparison not made counts as no match")
    write_page(report, lambda drawn: comparison_report(found, intervals.uncertainty(drawn)), output)


def _show_comparison(found: RunComparison, letter: str, level: float, output: Output) -> None:
    if output.json_lines:
        output.result(found.to_json())
        return
    output.columns("figure", "A %", f"{letter} %", f"A - {letter}", f"{100 * level:g} % interval", "p", "better")
    for row in found.rows:
        spanned = f"{100 * row.interval.low:+.2f} to {100 * row.interval.high:+.2f}"
        cells = (f"{100 * row.a:.2f}", f"{100 * row.b:.2f}", f"{100 * row.difference:+.2f}", spanned)
        p = f"{row.p:.2g}" if row.p >= _LEAST_P else f"<{_LEAST_P:g}"
        better = letter if row.better == "B" else row.better
        output.result({}, (words(row.name) + (" *" if row.note else ""), *cells, p, better))
    for row in found.rows:
        if row.note:
            output.say(f"* {words(row.name)}:\n  {row.note}")
    for note in found.notes:
        output.say(note)
    output.say(f"A: {found.a.space}, {letter}: {found.b.space}; {found.a.name}, {len(found.a.comparisons):,} pairs")


def _kind(name: str | None) -> PairKind | None:
    kinds: dict[str, PairKind] = {
        "lfw": "lfw",
        "cfp-ff": "cfp-ff",
        "cfp-fp": "cfp-fp",
        "bin": "bin",
        "csv": "csv",
    }
    if name is not None and name not in kinds:
        raise typer.BadParameter(f"expected one of {', '.join(kinds)}, got {name!r}", param_hint="--protocol")
    return None if name is None else kinds[name]


def _tell(results: PairResults, calibration: Calibration | None, reports: ReportFiles, output: Output) -> None:
    """Show the figures and write the files that were asked for."""
    from mien.evaluation.report import pair_report

    _show(results, output)

    def page(drawn: Callable[[int], None]) -> str:
        return pair_report(results, calibration=calibration, faces=reports.faces, progress=drawn)

    reports.write(results.to_json(), page, output)


def _show(results: PairResults, output: Output) -> None:
    report_failures(results.acquisition, output)
    output.result(results.to_json(trials=False))
    protocol, run = results.protocol, results.run
    folds = "" if results.folds is None else f" in {len(results.folds.folds)} folds"
    output.say(f"{protocol.name}: {len(protocol):,} pairs{folds}, {run.space}, {run.detector}")
    show_acquisition(results.acquisition, output)
    show_folds(results.folds, output)
    show_figures(results.figures, run.level, output)
    if results.quality_cut is not None:
        limit = shown(results.threshold, "score")
        output.say(f"by quality, low below {results.quality_cut:.1f}, at threshold {limit}:")
    show_slices(results.slices, output)
    if results.differentials is not None:
        show_groups(results.differentials, run.level, output)
