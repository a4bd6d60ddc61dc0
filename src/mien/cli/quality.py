"""``mien quality``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.options import ImagesArgument, LargestOption, QualityOption, Tuning, UprightOption
from mien.cli.output import Output
from mien.cli.servers import Place
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.types import Quality, QualityReason

__all__ = ["quality"]


@command
def quality(
    images: ImagesArgument,
    tuning: Tuning,
    place: Place,
    output: Output,
    quality: QualityOption = None,
    largest: LargestOption = False,
    upright: UprightOption = None,
) -> None:
    """Tell how good the faces in images are, and whether they could be enrolled.

    Each face gets one score from 0 to 100, higher is better, and the reasons for which enrollment would refuse it. With
    --json also every measure, and each as a score from 0 to 100.

    A poor face is no failure, and neither is an image without a face. Where an image shows several faces, none of them
    could be enrolled, unless the largest alone is meant: --largest.

    Example: mien quality portrait.jpg --quality strict
    """
    from mien.recognizer.records import quality_records

    output.columns("image", "face", "quality", "turned", "refused for")
    photos = collect(images, output)
    recognizer = place.recognizer(tuning, quality, upright=upright)
    limits = recognizer.settings.quality_limits()
    with output.progress("quality", len(photos)) as advance:
        outcomes = recognizer.iter_assess((photo.path for photo in photos), largest=largest)
        for photo, outcome in zip(photos, outcomes, strict=True):
            found, size_wh = outcome.result, outcome.size_wh
            if isinstance(found, MienError):
                output.failure({"image": photo.path}, found)
            elif size_wh is not None:
                failed = list(place.refusals(found, limits))
                record = {"image": photo.path, "size_wh": list(size_wh), "faces": quality_records(found, failed)}
                output.result(record, *_rows(photo.path, found, failed))
            advance(1)


def _rows(path: str, found: Quality, failed: list[tuple[QualityReason, ...]]) -> list[tuple[str, ...]]:
    if len(found) == 0:
        return [(path, "none", "", "", "")]
    turns = found.measure("face_rotation")
    # Rounded as in the JSON lines first, which is all that a server tells.
    scores = [f"{round(score, 1):.0f}" for score in found.unified.tolist()]
    return [
        (path, str(k), scores[k], f"{turns[k]:.0f}°" if turns[k] else "", "; ".join(map(str, reasons)))
        for k, reasons in enumerate(failed)
    ]
