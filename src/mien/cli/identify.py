"""``mien identify``."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.opening import open_for
from mien.cli.options import GalleryUrlOption, ImagesArgument, SaveOption, ThresholdOption, Tuning
from mien.cli.output import Output
from mien.cli.records import candidate_record, face_records
from mien.errors import MienError

__all__ = ["identify"]


@command
def identify(
    images: ImagesArgument,
    tuning: Tuning,
    output: Output,
    gallery: GalleryUrlOption,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="The most candidates for a face.")] = 1,
    threshold: ThresholdOption = None,
    save: SaveOption = None,
) -> None:
    """Tell who the faces in images are, out of a gallery.

    Each face gets its best candidates, each by the template that scores highest; those below the threshold are left
    out, so that a stranger's face has none.

    Example: mien identify party.jpg --gallery sqlite:///people.db --top 3
    """
    output.columns("image", "face", "who", "score", "rank", "template")
    photos = collect(images, output)
    recognizer = tuning.recognizer()
    album = None
    if save is not None:
        from mien.cli.drawing import KNOWN, UNKNOWN, Album, annotate
        from mien.images import load

        album = Album(save)
    with open_for(recognizer, gallery) as people, output.progress("identify", len(photos)) as advance:
        if len(people) == 0:
            output.note(f"nobody is enrolled in {gallery}")
        for photo, outcome in zip(photos, recognizer.iter_analyze(p.path for p in photos), strict=True):
            found = outcome.result
            if isinstance(found, MienError):
                output.failure({"image": photo.path}, found)
                advance(1)
                continue
            matches = recognizer.search(people, found.templates, top=top, threshold=threshold)
            faces = face_records(found.faces, landmarks=False)
            rows: list[tuple[str, ...]] = []
            for number, (face, candidates) in enumerate(zip(faces, matches, strict=True)):
                face["candidates"] = [candidate_record(match) for match in candidates]
                rows += [
                    (photo.path, str(number), m.identity, f"{m.score:.3f}", str(m.rank), str(m.template_id))
                    for m in candidates
                ] or [(photo.path, str(number), "nobody known", "", "", "")]
            output.result({"image": photo.path, "faces": faces}, *(rows or [(photo.path, "none", "", "", "", "")]))
            if album is not None:
                labels = [f"{c[0].identity} {c[0].score:.2f}" if c else "unknown" for c in matches]
                pixels = load(photo.path, max_pixels=recognizer.settings.max_pixels)
                colors = [KNOWN if c else UNKNOWN for c in matches]
                album.save(photo.below, annotate(pixels, found.faces, labels, colors))
            advance(1)
