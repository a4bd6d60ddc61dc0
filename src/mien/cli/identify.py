"""``mien identify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.opening import open_all_for
from mien.cli.options import ImagesArgument, SaveOption, TagsOption, ThresholdOption, Tuning
from mien.cli.output import Output
from mien.cli.records import candidate_record, face_records
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.types import Match

__all__ = ["identify"]


@command
def identify(
    images: ImagesArgument,
    tuning: Tuning,
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
    tag: TagsOption = None,
    save: SaveOption = None,
) -> None:
    """Tell who the faces in images are, out of a gallery or several.

    Each face gets its best candidates, an identity at most once; those below the threshold are left out, so that a
    stranger's face has none. With --tag, only people who have one of the tags are looked at.

    Example: mien identify party.jpg --gallery sqlite:///people.db --top 3

    Example: mien identify door.jpg --gallery sqlite:///staff.db --gallery sqlite:///guests.db --tag today
    """
    from mien.galleries.urls import without_password

    several = len(gallery) > 1
    output.columns("image", "face", "who", "score", "rank", "template", *(("gallery",) if several else ()))
    photos = collect(images, output)
    recognizer = tuning.recognizer()
    album = None
    if save is not None:
        from mien.cli.drawing import KNOWN, UNKNOWN, Album, annotate
        from mien.images import load

        album = Album(save)
    with open_all_for(recognizer, gallery) as people, output.progress("identify", len(photos)) as advance:
        if len(people) == 0:
            output.note(f"nobody is enrolled in {' or '.join(map(without_password, gallery))}")
        for photo, outcome in zip(photos, recognizer.iter_analyze(p.path for p in photos), strict=True):
            found = outcome.result
            if isinstance(found, MienError):
                output.failure({"image": photo.path}, found)
                advance(1)
                continue
            matches = recognizer.search(people, found.templates, top=top, threshold=threshold, tags=tag)
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


def _cells(match: Match) -> tuple[str, ...]:
    shown = (match.identity, f"{match.score:.3f}", str(match.rank), str(match.template_id))
    return shown if match.gallery is None else (*shown, match.gallery)
