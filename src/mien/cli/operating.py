"""The threshold that a command works with, where it is given as a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.output import Output
from mien.errors import BadInput

if TYPE_CHECKING:
    from mien.client import RemoteRecognizer
    from mien.galleries import Searchable
    from mien.recognizer import Recognizer

__all__ = ["FmrOption", "FpirOption", "chosen_threshold"]

FmrOption = Annotated[
    float | None,
    typer.Option(
        "--fmr",
        metavar="RATE",
        show_default=False,
        help="Take the threshold at which this share of the comparisons of two people match, such as 1e-4; needs a "
        "calibration (mien calibrate).",
    ),
]
FpirOption = Annotated[
    float | None,
    typer.Option(
        "--fpir",
        metavar="RATE",
        show_default=False,
        help="Take the threshold at which this share of the strangers find a candidate in a gallery of this size, such "
        "as 0.01; needs a calibration.",
    ),
]


def chosen_threshold(
    recognizer: Recognizer | RemoteRecognizer,
    output: Output,
    threshold: float | None,
    fmr: float | None,
    fpir: float | None = None,
    gallery: Searchable | None = None,
) -> float | None:
    """The threshold that was given, or that belongs to a rate; None for the recognizer's own.

    Raises:
        typer.BadParameter: several were given, or the rate is out of range.
        CalibrationNotFound: a rate was given, and there is no calibration for the recognizer's space.
    """
    given = {"--threshold": threshold, "--fmr": fmr, "--fpir": fpir}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise typer.BadParameter(f"expected one of them, got {' and '.join(named)}")
    if fmr is None and fpir is None:
        return threshold
    try:
        limit = recognizer.threshold_at(fmr=fmr, fpir=fpir, gallery=gallery)
    except BadInput as error:
        raise typer.BadParameter(error.message, param_hint=named[0]) from error
    _tell_extrapolated(recognizer, output, fmr, fpir, gallery)
    return limit


def _tell_extrapolated(
    recognizer: Recognizer | RemoteRecognizer,
    output: Output,
    fmr: float | None,
    fpir: float | None,
    gallery: Searchable | None,
) -> None:
    from mien.matching.calibration import fmr_of_search

    calibration = recognizer.calibration
    if fpir is not None and gallery is not None:
        fmr = fmr_of_search(fpir, max(1, len(gallery)))
    if calibration is not None and fmr is not None and calibration.is_extrapolated(fmr):
        output.note(
            f"the threshold for a false match rate of {fmr:.2g} is extrapolated: the calibration rests on "
            f"{calibration.facts.non_mated:,} non-mated comparisons"
        )
