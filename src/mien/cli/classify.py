"""``mien classify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.options import ImagesArgument, SaveOption, Tuning
from mien.cli.output import Output
from mien.cli.records import Record, face_records, rounded_probability, rounded_score, shown_probability
from mien.errors import MienError, SpaceMismatch

if TYPE_CHECKING:
    from mien.matching.classifier import Classification

__all__ = ["classify"]


@command
def classify(
    images: ImagesArgument,
    tuning: Tuning,
    output: Output,
    classifier: Annotated[
        Path,
        typer.Option(
            "--classifier", metavar="FILE", show_default=False, help="The classifier; see: mien train classifier"
        ),
    ],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="The most candidates for a face.")] = 1,
    save: SaveOption = None,
) -> None:
    """Tell which of a classifier's people the faces in images show, or that they show none of them.

    The probability of a candidate is among the classifier's people: it says nothing of strangers. What tells those is
    the similarity to the likeliest person: below the classifier's limit, the face is unknown.

    Example: mien classify party.jpg --classifier people.npz

    Example: mien classify photos/ --classifier people.npz --top 3 --save marked/
    """
    from mien.matching.classifier import UNKNOWN, Classifier

    output.columns("image", "face", "who", "rank", "probability", "similarity")
    known = Classifier.load(classifier)
    recognizer = tuning.recognizer(calibrated=False)
    if recognizer.space != known.space:
        raise SpaceMismatch(
            f"{classifier}: expected templates of {known.space}, which --embedder {known.space.partition('@')[0]} "
            f"makes, got those of {recognizer.space}"
        )
    photos = collect(images, output)
    album = None
    if save is not None:
        from mien.cli.drawing import KNOWN, Album, annotate
        from mien.cli.drawing import UNKNOWN as STRANGE
        from mien.images import load

        album = Album(save)
    with output.progress("classify", len(photos)) as advance:
        for photo, outcome in zip(photos, recognizer.iter_analyze(p.path for p in photos), strict=True):
            found = outcome.result
            if isinstance(found, MienError):
                output.failure({"image": photo.path}, found)
                advance(1)
                continue
            answers = known.predict(found.templates, top)
            faces = face_records(found.faces, landmarks=False)
            rows: list[tuple[str, ...]] = []
            for number, (face, candidates) in enumerate(zip(faces, answers, strict=True)):
                best = candidates[0]
                face["identity"] = best.identity if best.known else UNKNOWN
                face["known"] = best.known
                face["candidates"] = [_record(candidate, rank) for rank, candidate in enumerate(candidates, 1)]
                rows += [(photo.path, str(number), *cells) for cells in _cells(candidates, UNKNOWN)]
            output.result({"image": photo.path, "faces": faces}, *(rows or [(photo.path, "none")]))
            if album is not None:
                labels = [
                    f"{c[0].identity} {shown_probability(c[0].probability)}" if c[0].known else UNKNOWN for c in answers
                ]
                colors = [KNOWN if c[0].known else STRANGE for c in answers]
                pixels = load(photo.path, max_pixels=recognizer.settings.max_pixels)
                album.save(photo.below, annotate(pixels, found.faces, labels, colors))
            advance(1)


def _record(candidate: Classification, rank: int) -> Record:
    return {
        "identity": candidate.identity,
        "probability": rounded_probability(candidate.probability),
        "similarity": rounded_score(candidate.similarity),
        "rank": rank,
        "known": candidate.known,
    }


def _cells(candidates: list[Classification], unknown: str) -> list[tuple[str, ...]]:
    """A row for each candidate; one for a stranger, with the similarity that was too low."""
    best = candidates[0]
    if not best.known:
        return [(unknown, "", "", f"{best.similarity:.3f}")]
    return [
        (candidate.identity, str(rank), shown_probability(candidate.probability), f"{candidate.similarity:.3f}")
        for rank, candidate in enumerate(candidates, 1)
    ]
