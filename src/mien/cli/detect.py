"""``mien detect``."""

from __future__ import annotations

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.options import ImagesArgument, LargestOption, SaveOption, Tuning
from mien.cli.output import Output
from mien.cli.records import face_records
from mien.cli.servers import Place
from mien.errors import MienError

__all__ = ["detect"]


@command
def detect(
    images: ImagesArgument,
    tuning: Tuning,
    place: Place,
    output: Output,
    largest: LargestOption = False,
    save: SaveOption = None,
) -> None:
    """Find the faces in images.

    Each face has a box (left, top, right, bottom) and five landmarks (eyes, nose tip, mouth corners), all in pixels of
    the original image, and a score from 0 to 1. An image without a face is no failure.

    Example: mien detect group.jpg --save annotated
    """
    output.columns("image", "size", "face", "score", "left", "top", "right", "bottom")
    photos = collect(images, output)
    recognizer = place.recognizer(tuning)
    album = None
    if save is not None:
        from mien.cli.drawing import KNOWN, Album, annotate
        from mien.images import load

        album = Album(save)
    with output.progress("detect", len(photos)) as advance:
        outcomes = recognizer.iter_detect((photo.path for photo in photos), largest=largest)
        for photo, outcome in zip(photos, outcomes, strict=True):
            faces, size_wh = outcome.result, outcome.size_wh
            if isinstance(faces, MienError):
                output.failure({"image": photo.path}, faces)
            elif size_wh is not None:
                records = face_records(faces)
                size = f"{size_wh[0]}×{size_wh[1]}"
                rows = [
                    (photo.path, size, str(number), f"{face['score']:.3f}", *(f"{v:.1f}" for v in face["xyxy"]))
                    for number, face in enumerate(records)
                ]
                record = {"image": photo.path, "size_wh": list(size_wh), "faces": records}
                output.result(record, *(rows or [(photo.path, size, "none", *[""] * 5)]))
                if album is not None:
                    labels = [f"{face['score']:.2f}" for face in records]
                    pixels = load(photo.path, max_pixels=recognizer.settings.max_pixels)
                    album.save(photo.below, annotate(pixels, faces, labels, [KNOWN] * len(faces)))
            advance(1)
