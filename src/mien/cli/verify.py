"""``mien verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.operating import FmrOption, chosen_threshold
from mien.cli.options import LargestOption, ThresholdOption, Tuning
from mien.cli.output import Output
from mien.cli.records import rounded_probability, rounded_score, shown_probability
from mien.cli.servers import Place
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.images import ImageSource
    from mien.types import Analysis

__all__ = ["verify"]


@command
def verify(
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="An image of one face.")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="The image to compare it with.")],
    tuning: Tuning,
    place: Place,
    output: Output,
    threshold: ThresholdOption = None,
    fmr: FmrOption = None,
    largest: LargestOption = False,
) -> None:
    """Tell whether two images show the same person.

    The exit code is 0 whether they match or not; 1 means that they could not be compared.

    The probability holds for pairs of which half are mated, before the score is seen.

    Example: mien verify passport.jpg selfie.jpg

    Example: mien verify passport.jpg selfie.jpg --fmr 1e-4
    """
    from mien.recognizer import one_face

    recognizer = place.recognizer(tuning)
    limit = chosen_threshold(recognizer, output, threshold, fmr)
    output.columns("a", "b", "score", "threshold", "match", "probability", "space")
    sources: list[ImageSource] = [a, b]
    found: list[Analysis] = []
    for source, result in zip((a, b), recognizer.analyze(sources, errors="return"), strict=True):
        try:
            if isinstance(result, MienError):
                raise result
            found.append(one_face(result, "largest" if largest else "single", source))
        except MienError as error:
            output.failure({"a": a, "b": b, "image": source}, error)
            return
    verdict = recognizer.compare(found[0].templates, found[1].templates, threshold=limit)
    record = {
        "a": a,
        "b": b,
        "score": rounded_score(verdict.score),
        "match": verdict.match,
        "threshold": verdict.threshold,
        "probability": rounded_probability(verdict.probability),
        "space": verdict.space,
    }
    answer = "yes" if verdict.match else "no"
    shown = shown_probability(verdict.probability)
    output.result(record, (a, b, f"{verdict.score:.3f}", f"{verdict.threshold:.3f}", answer, shown, verdict.space))
