"""``mien train classifier``: who of one's own people a face shows, learned from a folder of their photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.evaluate_options import Acquiring, report_failures
from mien.cli.options import OverwriteOption, Tuning
from mien.cli.output import Output
from mien.cli.whole_files import require_place
from mien.errors import BadInput

if TYPE_CHECKING:
    from mien.evaluation import Acquired
    from mien.matching.classifier import Classifier, ClassifierMethod
    from mien.matching.classifier_facts import ClassifierTest

__all__ = ["classifier"]

_MOST_NAMED = 10


@command
def classifier(
    people: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="A folder with a folder of images for each person."),
    ],
    tuning: Tuning,
    acquiring: Acquiring,
    output: Output,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", dir_okay=False, show_default=False, help="The classifier to write, for mien classify."
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="logistic|svm|knn",
            help="What it is: logistic regression, support vector machines, or the nearest neighbors' vote.",
        ),
    ] = "logistic",
    unknown_rate: Annotated[
        float,
        typer.Option(
            min=0.0001, max=0.5, metavar="SHARE", help="Share of strangers' photos that may be taken for one of them."
        ),
    ] = 0.05,
    data: Annotated[
        str | None, typer.Option(metavar="TEXT", show_default=False, help="What the photos are, for the file to say.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random choices: same seed, same classifier.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn to tell people apart, from a folder of photos for each.

    It is for people who are all known beforehand, ten photos of each or so. Where people come and go, enroll them into
    a gallery and use identify.

    How good it is, is measured: some photos, and some people as strangers, are kept apart in turn. A face that is less
    like the person found than nearly all strangers were is taken for unknown. People with one photo are learned, but
    nothing can be measured on them.

    The file holds templates, which are personal data; only you can read it.

    Example: mien train classifier people/ --out people.npz

    Example: mien train classifier staff/ --out staff.npz --method svm --unknown-rate 0.01
    """
    from mien.evaluation import AcquisitionFacts, acquire
    from mien.evaluation.protocols import read_people
    from mien.galleries import canonical_name
    from mien.galleries.private_files import replacing_private
    from mien.matching.classifier import checked_identities
    from mien.training.classifier_fit import ROUNDS, fit_classifier
    from mien.training.classifier_methods import require_packages
    from mien.types import Templates

    chosen = _method(method)
    require_packages()
    require_place(out, overwrite=overwrite)
    found = read_people(people)
    names = [canonical_name(name) for name in found.names]
    checked_identities(names)
    recognizer = tuning.recognizer(calibrated=False)
    with acquiring.work(recognizer, str(people), len(found.samples), output) as work:
        acquired = acquire(recognizer, found.samples, face=acquiring.rule, keep=work.file, progress=work.images)
        report_failures(AcquisitionFacts.of(acquired), output)
        work.measured()
        rows = acquired.acquired.nonzero()[0]
        if len(rows) == 0:
            raise BadInput(f"{people}: expected images with a face, found none in {len(acquired)}")
        owners = [names[found.identities[row]] for row in rows]
        with replacing_private(str(out)) as temporary, output.progress("fit", ROUNDS + 1, unit="rounds") as advance:
            made = fit_classifier(
                Templates(acquired.vectors[rows], acquired.space),
                owners,
                threshold=recognizer.embedder.threshold,
                method=chosen,
                unknown_rate=unknown_rate,
                data=str(people) if data is None else data,
                seed=seed,
                progress=advance,
            )
            made.save(temporary)
    _tell(made, out, acquired, sorted(set(names) - set(owners)), output)


def _method(name: str) -> ClassifierMethod:
    methods: dict[str, ClassifierMethod] = {"logistic": "logistic", "svm": "svm", "knn": "knn"}
    if name not in methods:
        raise typer.BadParameter(f"expected logistic, svm or knn, got {name!r}", param_hint="--method")
    return methods[name]


def _tell(made: Classifier, out: Path, acquired: Acquired, faceless: list[str], output: Output) -> None:
    facts = made.facts
    record = {
        "out": str(out),
        "space": made.space,
        "method": made.method,
        "images": len(acquired),
        "failures": acquired.failures,
        "people_without_a_face": faceless,
        "unknown_below": made.unknown_below,
        "facts": dataclasses.asdict(facts),
    }
    output.columns("on photos kept apart", "share", "95 % interval", "of")
    output.result(record, *(() if facts.tested is None else _rows(facts.tested)))
    output.say(
        f"{out}: {made.method} ({facts.setting}) of {facts.people} people, {facts.images} photos, {made.space}; no "
        f"face in {sum(acquired.failures.values())} of {len(acquired)} images"
    )
    output.say(f"unknown below a similarity of {made.unknown_below:.4f}")
    if facts.unknown_source == "embedder":
        output.note(
            f"{facts.people} people with {facts.images} photos are too few to learn from how alike strangers are; the "
            f"limit to the unknown is the embedder's own threshold, {made.unknown_below:g}"
        )
    if facts.tested is None:
        output.note("nobody has two photos with a face: nothing could be measured")
    if facts.single:
        output.note(f"one photo each, learned and not tested: {_listed(facts.single)}")
    if faceless:
        output.note(f"no photo with a face, left out: {_listed(faceless)}")


def _rows(tested: ClassifierTest) -> list[tuple[str, ...]]:
    known, strange = f"{tested.images} photos", f"{tested.strangers} photos of {tested.stranger_people} people"
    rows: list[tuple[str, ...]] = [
        ("the likeliest person is the right one", f"{tested.accuracy:.2%}", _span(tested.accuracy_interval), known),
        ("  its mean probability", f"{tested.claimed:.2%}", "", known),
        ("known people given their name", f"{tested.named:.2%}", "", known),
        ("known people given another's name", f"{tested.misnamed:.2%}", "", known),
        ("known people taken for unknown", f"{tested.refused:.2%}", _span(tested.refused_interval), known),
    ]
    if tested.accepted is not None and tested.accepted_interval is not None:
        rows.append(
            (
                "strangers taken for somebody known",
                f"{tested.accepted:.2%}",
                _span(tested.accepted_interval),
                strange,
            )
        )
    return rows


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
