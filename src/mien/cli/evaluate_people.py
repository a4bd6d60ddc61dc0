"""``mien evaluate identify`` and ``overlap``: folders of people."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.evaluate_options import Acquiring, ByQuality, Intervals, ReportFiles, report_failures, require_writable
from mien.cli.evaluate_tables import show_acquisition, show_figures, show_slices, shown, words
from mien.cli.options import ThresholdOption, Tuning
from mien.cli.output import Output
from mien.cli.whole_files import replacing

if TYPE_CHECKING:
    from mien.evaluation import OpenSetResults, Overlap

__all__ = ["identify", "overlap"]


@command
def identify(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="A folder of people: a folder of images for each."),
    ],
    tuning: Tuning,
    acquiring: Acquiring,
    by_quality: ByQuality,
    intervals: Intervals,
    reports: ReportFiles,
    output: Output,
    enrolled: Annotated[int, typer.Option(min=1, help="Images enrolled for each person.")] = 1,
    non_mated_share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of people who are kept out of the gallery.")
    ] = 0.5,
    splits: Annotated[int, typer.Option(min=1, help="Random splits into gallery and probes.")] = 5,
) -> None:
    """Measure open-set 1:N error rates on a folder of people, with intervals.

    Some people are kept out of the gallery: whoever is found for them is a false alarm. Images without a face count as
    misses. An interrupted run is gone on with by the same command.

    Example: mien evaluate identify people/ --enrolled 1 --splits 5

    Example: mien evaluate identify people/ --json-report people.json --report people.html
    """
    from mien.evaluation import evaluate_open_set, read_people
    from mien.evaluation.report import open_set_report

    reports.check()
    people = read_people(folder)
    recognizer = tuning.recognizer()
    with acquiring.work(recognizer, str(folder), len(people.samples), output) as work:
        results = evaluate_open_set(
            recognizer,
            people,
            enrolled=enrolled,
            non_mated_share=non_mated_share,
            splits=splits,
            face=acquiring.rule,
            quality=by_quality.quality,
            keep=work.file,
            progress=work.images,
            uncertainty=intervals.uncertainty(work.intervals),
            quality_cut=by_quality.quality_cut,
        )
        work.measured()
        report_failures(results.acquisition, output)
        output.result(results.to_json())
        _show(results, output)
        reports.write(results.to_json(), lambda _drawn: open_set_report(results, faces=reports.faces), output)


@command
def overlap(
    a: Annotated[Path, typer.Argument(metavar="A", show_default=False, help="A folder of people, or of loose images.")],
    b: Annotated[Path, typer.Argument(metavar="B", show_default=False, help="Another one.")],
    tuning: Tuning,
    acquiring: Acquiring,
    output: Output,
    threshold: ThresholdOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", dir_okay=False, show_default=False, help="Write the list to look through to this file."
        ),
    ] = None,
) -> None:
    """Find people who stand in two folders, such as a training and a test set.

    Everybody's templates are averaged; people of A and B whose averages are alike are listed, with their most similar
    images; so are those whose most similar images are alike, if each is the other's nearest by these, as where a folder
    holds others too. Mutual says by what each is the other's nearest. Twins and wrong labels are in the list: look
    through it.

    Example: mien evaluate overlap training/ test/ --out review.csv
    """
    from mien.evaluation import find_overlap, read_people

    if out is not None:
        require_writable(out)
    first, second = read_people(a, loose=True), read_people(b, loose=True)
    recognizer = tuning.recognizer()
    images = len(first.samples) + len(second.samples)
    with acquiring.work(recognizer, f"{a.absolute()}|{b.absolute()}", images, output) as work:
        found = find_overlap(
            recognizer, first, second, threshold=threshold, face=acquiring.rule, keep=work.file, progress=work.images
        )
        work.measured()
        _show_overlap(found, output)
        if out is not None:
            _write(found, out)
            output.say(f"written: {out}")


def _show_overlap(found: Overlap, output: Output) -> None:
    for facts in found.acquisition:
        report_failures(facts, output)
    output.result(found.to_json())
    if not output.json_lines:
        output.columns("a", "b", "score", "mutual", "most similar images", "score")
        for one in found.found:
            pair = f"{one.image_a} {one.image_b}"
            mutual = " ".join(by for by, yes in (("mean", one.mutual), ("images", one.mutual_images)) if yes) or "no"
            output.result({}, (one.a, one.b, f"{one.score:.3f}", mutual, pair, f"{one.image_score:.3f}"))
    both = sum(one.mutual or one.mutual_images for one in found.found)
    output.say(
        f"{len(found.found)} likenesses from threshold {found.threshold:g} on, {both} of them mutual; "
        f"people {found.people[0]} and {found.people[1]}, {found.space}"
    )


def _write(found: Overlap, out: Path) -> None:
    columns = ("a", "b", "score", "mutual", "mutual_images", "image_a", "image_b", "image_score")
    with replacing(out) as temporary, open(temporary, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        for one in found.found:
            row = (
                one.a,
                one.b,
                f"{one.score:.6f}",
                int(one.mutual),
                int(one.mutual_images),
                one.image_a,
                one.image_b,
                f"{one.image_score:.6f}",
            )
            writer.writerow(row)


def _show(results: OpenSetResults, output: Output) -> None:
    if output.json_lines:
        return
    run = results.run
    output.say(f"{Path(results.path).name}: {len(results.people)} people, {run.space}, {run.detector}")
    share = f"{100 * results.non_mated_share:g} % of people kept out"
    output.say(f"{len(results.splits)} splits, {results.enrolled} enrolled each, {share}, seed {run.seed}")
    show_acquisition(results.acquisition, output)
    names = [f.name for f in results.splits[0].figures if f.unit == "rate" and f.value is not None]
    names = [name for name in names if name.startswith("tpir") or name == "rank_1"]
    output.columns("split", *(words(name) for name in names))
    for split in results.splits:
        found = {figure.name: figure for figure in split.figures}
        output.result({}, (str(split.number + 1), *(shown(found[name].value, "rate") for name in names)))
    output.say("all splits together:")
    show_figures(results.figures, run.level, output)
    if results.quality_cut is not None:
        output.say(f"by quality, low below {results.quality_cut:.1f}:")
    show_slices(results.slices, output)
