"""``mien calibrate``: what the scores of a model mean, learned from photos of people."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.evaluate_options import Acquiring, report_failures, report_missing
from mien.cli.options import OverwriteOption, Tuning
from mien.cli.output import Output
from mien.cli.whole_files import replacing, require_place
from mien.errors import BadInput

if TYPE_CHECKING:
    from mien.evaluation import Acquired
    from mien.evaluation.protocols import PairProtocol, Sample
    from mien.matching.calibration import Calibration
    from mien.matching.calibration_pairs import PairSource

__all__ = ["calibrate"]


@command
def calibrate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...|FILE",
            show_default=False,
            help="Folders with a folder of images for each person; or a table of pairs a,b,same"
            "[,identity_a,identity_b], or LFW's pairs.txt.",
        ),
    ],
    tuning: Tuning,
    acquiring: Acquiring,
    output: Output,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            show_default=False,
            help="The JSON file to write, to be named by the setting calibration; by default one in the cache folder, "
            "which is used from then on by itself.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            exists=True,
            show_default=False,
            help="Where the paths in a table start; by default beside it.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="TEXT", show_default=False, help="What the photos are, for the file to say.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=20, help="Of the bootstrap over people, for the intervals.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers: same seed, same result.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn what the scores of a model mean, from photos of people.

    Then verify and identify tell a probability, and --fmr and --fpir choose the threshold. Take photos like those that
    you compare, of a hundred people or more, several of each, with the right names. Of folders, every photo is compared
    with every other one. Half of the people are first kept apart, to tell how good the result is.

    The file holds numbers only, no photo and no template.

    Example: mien calibrate people/

    Example: mien calibrate staff-pairs.csv --embedder dlib-resnet --out staff.json
    """
    from mien.evaluation import AcquisitionFacts, acquire
    from mien.matching.calibration import default_calibration_path
    from mien.matching.calibration_fit import fit_calibration, require_packages

    require_packages()
    if out is not None:
        require_place(out, overwrite=overwrite)
    samples, people, protocol = _read(paths, images)
    if protocol is not None:
        report_missing(protocol, output)
    recognizer = tuning.recognizer(calibrated=False)
    words = ", ".join(map(str, paths))
    with acquiring.work(recognizer, words, len(samples), output) as work:
        acquired = acquire(recognizer, samples, face=acquiring.rule, keep=work.file, progress=work.images)
        report_failures(AcquisitionFacts.of(acquired), output)
        pairs = _pairs(acquired, people, protocol, seed)
        work.measured()
        made = fit_calibration(
            pairs, recognizer.space, data=words if data is None else data, seed=seed, replicates=replicates
        )
        place = default_calibration_path(recognizer.space) if out is None else out
        with replacing(place) as temporary:
            made.save(temporary)
    _tell(made, place, acquired, output)


def _read(paths: list[Path], images: Path | None) -> tuple[list[Sample], list[int], PairProtocol | None]:
    """The images, whom each shows, and which are compared, if not all with all."""
    from mien.evaluation.protocols import Sample, read_pairs, read_people

    files = [path for path in paths if not path.is_dir()]
    if files:
        if len(paths) > 1:
            raise typer.BadParameter(f"expected folders, or one file alone, got {len(paths)} with {str(files[0])!r}")
        protocol = read_pairs(files[0], images=images)
        return list(protocol.samples), protocol.identities.tolist(), protocol
    samples: list[Sample] = []
    people: list[int] = []
    for path in paths:
        found = read_people(path)
        first = max(people, default=-1) + 1
        # Folders may have people of one name, and images of one name.
        samples += [Sample(str(path / sample.name), sample.source) for sample in found.samples]
        people += [first + number for number in found.identities.tolist()]
    return samples, people, None


def _pairs(acquired: Acquired, people: list[int], protocol: PairProtocol | None, seed: int) -> PairSource:
    import numpy as np

    from mien.matching.calibration_pairs import ListedPairs, TemplatePairs
    from mien.types import Templates

    (rows,) = np.nonzero(acquired.acquired)
    owners = np.asarray(people, np.int64)
    if len(rows) == 0:
        raise BadInput(f"expected images with a face, found none in {len(acquired)}")
    if protocol is None:
        return TemplatePairs(Templates(acquired.vectors[rows], acquired.space), owners[rows], seed=seed)
    left, right = protocol.left, protocol.right
    both = acquired.acquired[left] & acquired.acquired[right]
    scores = acquired.compared(left[both], right[both])
    mated = protocol.mated[both]
    return ListedPairs(scores, mated, owners[left[both]], owners[right[both]], images=len(rows))


def _tell(made: Calibration, place: Path, acquired: Acquired, output: Output) -> None:
    output.columns("false match rate", "threshold", "95 % interval", "on other people", "rests on")
    rows = [
        (
            f"{point.fmr:g}",
            f"{point.threshold:.4f}",
            f"{point.low:.4f} to {point.high:.4f}",
            f"{point.fmr_low:.2g} to {point.fmr_high:.2g}",
            "extrapolated" if point.extrapolated else f"{point.errors:,.0f} false matches",
        )
        for point in made.points
    ]
    record = {
        "out": str(place),
        "space": made.space,
        "images": len(acquired),
        "failures": acquired.failures,
        "facts": dataclasses.asdict(made.facts),
        "points": [dataclasses.asdict(point) for point in made.points],
    }
    output.result(record, *rows)
    facts = made.facts
    output.say(
        f"{place}: {made.space}, fitted on {facts.images} faces of {facts.people} people, {facts.mated:,} mated and "
        f"{facts.non_mated:,} non-mated comparisons; no face in {sum(acquired.failures.values())} of {len(acquired)} "
        f"images; Cllr {facts.cllr:.4f}, at least {facts.cllr_min:.4f}"
    )
    tested = facts.held_out
    if tested is None:
        output.note("too few people to keep half of them apart: how good this is on others was not measured")
        return
    output.say(
        f"On {tested.people} people kept apart: Cllr {tested.cllr:.4f}, at least {tested.cllr_min:.4f}; at the "
        f"threshold for {tested.nominal_fmr:g} a false match rate of {tested.fmr:.2g} "
        f"({tested.fmr_low:.2g} to {tested.fmr_high:.2g})"
    )
