"""``mien identify``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.names import checked_tags
from mien.cli.opening import open_all_for
from mien.cli.operating import FmrOption, FpirOption, chosen_threshold
from mien.cli.options import ImagesArgument, SaveOption, TagsOption, ThresholdOption, Tuning
from mien.cli.output import Output
from mien.cli.records import candidate_record, face_records, shown_probability
from mien.cli.servers import Place
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.galleries import Gallery
    from mien.types import Match

__all__ = ["identify"]

# To count the mapped templates of so many takes half a second; more would take longer than the search.
_COUNTED = 1_000_000


@command
def identify(
    images: ImagesArgument,
    tuning: Tuning,
    place: Place,
    output: Output,
    gallery: Annotated[
        list[str],
        typer.Option(
            "--gallery",
            metavar="URL",
            show_default=False,
            help="The gallery, such as sqlite:///people.db; may be given several times.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="The most candidates for a face.")] = 1,
    threshold: ThresholdOption = None,
    fmr: FmrOption = None,
    fpir: FpirOption = None,
    tag: TagsOption = None,
    save: SaveOption = None,
) -> None:
    """Tell who the faces in images are, out of a gallery or several.

    Each face gets its best candidates, an identity at most once; those below the threshold are left out, so that a
    stranger's face has none. With --tag, only people who have one of the tags are looked at.

    The probability of a candidate takes the gallery's size into account: the same score means less among more.

    Example: mien identify party.jpg --gallery sqlite:///people.db --top 3

    Example: mien identify door.jpg --gallery sqlite:///staff.db --fpir 0.01

    Example: mien identify door.jpg --gallery sqlite:///staff.db --gallery sqlite:///guests.db --tag today
    """
    from mien.galleries.urls import without_password

    several = len(gallery) > 1
    output.columns(
        "image", "face", "who", "score", "rank", "template", "probability", *(("gallery",) if several else ())
    )
    tags = checked_tags(tag)
    photos = collect(images, output)
    recognizer = place.recognizer(tuning)
    album = None
    if save is not None:
        from mien.cli.drawing import KNOWN, UNKNOWN, Album, annotate
        from mien.images import load

        album = Album(save)
    with open_all_for(recognizer, gallery) as (people, opened), output.progress("identify", len(photos)) as advance:
        enrolled = len(people)
        if enrolled == 0:
            output.note(f"nobody is enrolled in {' or '.join(map(without_password, gallery))}")
        limit = chosen_threshold(recognizer, output, threshold, fmr, fpir, people)
        if threshold is None and (limit is not None or recognizer.settings.threshold is None):
            _tell_mapped(opened, recognizer.threshold if limit is None else limit, output)
        for photo, outcome in zip(photos, recognizer.iter_analyze(p.path for p in photos), strict=True):
            found = outcome.result
            if isinstance(found, MienError):
                output.failure({"image": photo.path}, found)
                advance(1)
                continue
            matches = recognizer.search(people, found.templates, top=top, threshold=limit, tags=tags, enrolled=enrolled)
            faces = face_records(found.faces, landmarks=False)
            rows: list[tuple[str, ...]] = []
            for number, (face, candidates) in enumerate(zip(faces, matches, strict=True)):
                face["candidates"] = [candidate_record(match) for match in candidates]
                rows += [(photo.path, str(number), *_cells(match)) for match in candidates] or [
                    (photo.path, str(number), "nobody known")
                ]
            output.result({"image": photo.path, "faces": faces}, *(rows or [(photo.path, "none")]))
            if album is not None:
                labels = [f"{c[0].identity} {c[0].score:.2f}" if c else "unknown" for c in matches]
                pixels = load(photo.path, max_pixels=recognizer.settings.max_pixels)
                colors = [KNOWN if c else UNKNOWN for c in matches]
                album.save(photo.below, annotate(pixels, found.faces, labels, colors))
            advance(1)


def _tell_mapped(galleries: Sequence[Gallery], threshold: float, output: Output) -> None:
    from mien.galleries import Migratable

    for gallery in galleries:
        count = gallery.mapped() if isinstance(gallery, Migratable) and len(gallery) <= _COUNTED else 0
        if count:
            output.note(
                f"{gallery.name}: {count} of {len(gallery)} templates are mapped, and the usual threshold, "
                f"{threshold:g}, is not made for those: give the map's own with --threshold"
            )


def _cells(match: Match) -> tuple[str, ...]:
    probability = shown_probability(match.probability)
    shown = (match.identity, f"{match.score:.3f}", str(match.rank), str(match.template_id), probability)
    return shown if match.gallery is None else (*shown, match.gallery)
